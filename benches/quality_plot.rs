//! A plot of picture quality over time spent, as SVG: a panel for each footage, a line for each encoder.

/// One footage.
pub(crate) struct Panel {
    pub(crate) name: String,
    pub(crate) lines: Vec<Line>,
}

/// One encoder.
pub(crate) struct Line {
    pub(crate) label: String,
    /// Milliseconds of CPU a canvas, and decibels; one for each bitrate, the lowest first.
    pub(crate) points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 6] = ["#1f6fb2", "#c2571a", "#7a9a3c", "#8a5fb0", "#777777", "#b03a5b"];
/// A panel with the room around it, and the area inside, in pixels.
const PANEL: (f64, f64) = (400.0, 280.0);
const AREA: (f64, f64, f64, f64) = (55.0, 40.0, 380.0, 235.0);
const LEGEND: f64 = 40.0;

/// Two panels a row, below them what the colours mean.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * PANEL.0, rows * PANEL.1 + LEGEND);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (i, shown) in panels.iter().enumerate() {
        let (x, y) = ((i % 2) as f64 * PANEL.0, (i / 2) as f64 * PANEL.1);
        text.push_str(&format!("<g transform=\"translate({x} {y})\">\n{}</g>\n", panel(shown)));
    }
    let labels = panels.first().map_or(&[][..], |panel| &panel.lines);
    for (i, (line, colour)) in labels.iter().zip(COLOURS).enumerate() {
        let (x, y) = (55.0 + 148.0 * i as f64, height - 16.0);
        text.push_str(&format!(
            "<circle cx=\"{x}\" cy=\"{:.0}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{y}\">{}</text>\n",
            y - 4.0,
            x + 9.0,
            line.label
        ));
    }
    text.push_str("</svg>\n");
    text
}

fn panel(panel: &Panel) -> String {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    // Time begins at zero; decibels begin where the figures do, because nothing begins at zero there.
    let slowest = points().map(|point| point.0).fold(1.0, f64::max);
    let right = 4.0 * (slowest * 1.05 / 4.0).ceil();
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min).floor();
    let high = points().map(|point| point.1).fold(0.0, f64::max).ceil();
    let (left, top, far, bottom) = AREA;
    let x = |ms: f64| left + (far - left) * ms / right;
    let y = |db: f64| bottom - (bottom - top) * (db - low) / (high - low).max(1.0);

    let mut text = format!(
        "<path d=\"M{left} {top}V{bottom}H{far}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{left}\" y=\"22\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{far}\" y=\"22\" text-anchor=\"end\" fill=\"#555\">PSNR, dB</text>\n\
         <text x=\"{far}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">CPU, ms a canvas</text>\n",
        panel.name,
        bottom + 34.0
    );
    for quarter in 0..=4 {
        let part = f64::from(quarter) / 4.0;
        let (ms, db) = (part * right, low + part * (high - low));
        text.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{ms:.0}</text>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{db:.1}</text>\n",
            x(ms),
            bottom + 17.0,
            left - 6.0,
            y(db) + 4.0
        ));
    }
    for (line, colour) in panel.lines.iter().zip(COLOURS) {
        let places: Vec<String> =
            line.points.iter().map(|&(ms, db)| format!("{:.1},{:.1}", x(ms), y(db))).collect();
        text.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            places.join(" ")
        ));
        for &(ms, db) in &line.points {
            text.push_str(&format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n",
                x(ms),
                y(db)
            ));
        }
    }
    text
}
