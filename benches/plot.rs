//! A plot of two figures over the number of cameras, as SVG: no library, and small enough to be read as text.

/// A wall with so many cameras.
pub(crate) struct Point {
    pub(crate) cameras: usize,
    /// Milliseconds of CPU a camera and second.
    pub(crate) cpu_ms: f64,
    /// Pictures a second of a tile.
    pub(crate) fps: f64,
}

/// Where the plot's area is, in pixels.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 580.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 260.0;
const CPU: &str = "#1f6fb2";
const FPS: &str = "#c2571a";

/// Both axes begin at zero; cameras are spaced by their logarithm, and the line drawn flat is the figure at 4 cameras plus 10 %.
pub(crate) fn svg(points: &[Point]) -> String {
    let most_cameras = points.iter().map(|point| point.cameras).max().unwrap_or(1);
    // Four round steps, with room above.
    let top_cpu = 4.0 * (1.2 / 4.0 * points.iter().map(|point| point.cpu_ms).fold(0.1, f64::max)).ceil();
    let top_fps = 20.0;
    let x = |cameras: usize| {
        LEFT + 20.0 + (RIGHT - LEFT - 40.0) * (cameras as f64).log2() / (most_cameras as f64).log2()
    };
    let y = |value: f64, top: f64| BOTTOM - (BOTTOM - TOP) * value / top;

    let mut text = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 310\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"640\" height=\"310\" fill=\"#fff\"/>\n",
    );
    let frame = format!(
        "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}V{TOP}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" fill=\"{CPU}\">CPU a camera, ms a second</text>\n\
         <text x=\"{RIGHT}\" y=\"24\" fill=\"{FPS}\" text-anchor=\"end\">pictures a second of a tile</text>\n\
         <text x=\"{}\" y=\"300\" text-anchor=\"middle\">cameras, 640x360 at 15 fps, on one core</text>\n",
        (LEFT + RIGHT) / 2.0
    );
    text.push_str(&frame);
    for quarter in 0..=4 {
        let part = f64::from(quarter) / 4.0;
        let at = y(part, 1.0) + 4.0;
        text.push_str(&format!(
            "<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\">{:.0}</text><text x=\"{}\" y=\"{at:.1}\">{:.0}</text>\n",
            LEFT - 6.0,
            part * top_cpu,
            RIGHT + 6.0,
            part * top_fps
        ));
    }
    if let Some(four) = points.iter().find(|point| point.cameras == 4) {
        let at = y(1.1 * four.cpu_ms, top_cpu);
        text.push_str(&format!(
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"{CPU}\" stroke-dasharray=\"3 4\"/>\n"
        ));
    }
    let cpu = points.iter().map(|point| (x(point.cameras), y(point.cpu_ms, top_cpu)));
    text.push_str(&line(CPU, cpu.collect()));
    let fps = points.iter().map(|point| (x(point.cameras), y(point.fps, top_fps)));
    text.push_str(&line(FPS, fps.collect()));
    for point in points {
        text.push_str(&format!(
            "<text x=\"{:.1}\" y=\"278\" text-anchor=\"middle\">{}</text>\n",
            x(point.cameras),
            point.cameras
        ));
    }
    text.push_str("</svg>\n");
    text
}

/// Through these places, with a dot at each.
fn line(colour: &str, places: Vec<(f64, f64)>) -> String {
    let dots: String = places
        .iter()
        .map(|(x, y)| format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"))
        .collect();
    let places: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let places = places.join(" ");
    format!("<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n{dots}")
}
