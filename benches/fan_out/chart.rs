//! A chart of lines over the number of viewers, as SVG: no library, and small enough to be read as text.

/// One line.
pub struct Line {
    /// Stands at its end.
    pub label: String,
    /// Viewers, and what is shown of them.
    pub points: Vec<(f64, f64)>,
}

/// Where the plot's area is, in pixels.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 330.0;
const COLOURS: [&str; 6] = ["#1f6fb2", "#c2571a", "#3a8f3a", "#8a4fb0", "#777777", "#b01f4f"];
const STEPS: [f64; 9] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];

/// Both axes begin at zero.
pub fn svg(title: &str, lines: &[Line]) -> String {
    let every = || lines.iter().flat_map(|line| &line.points);
    let most = every().map(|point| point.0).fold(1.0, f64::max);
    let top = 1.1 * every().map(|point| point.1).fold(1e-3, f64::max);
    let x = |viewers: f64| LEFT + (RIGHT - LEFT) * viewers / most;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 380\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"380\" fill=\"#fff\"/>\n\
         <path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">{title}</text>\n\
         <text x=\"{RIGHT}\" y=\"368\" text-anchor=\"end\">viewers</text>\n"
    );
    let step = STEPS.into_iter().find(|step| top / step <= 8.0).unwrap_or(50.0);
    for value in (0..).map(|count| f64::from(count) * step).take_while(|value| *value <= top) {
        let at = y(value);
        // Three fifths are not to be told to sixteen digits.
        let value = (value * 100.0).round() / 100.0;
        text.push_str(&format!(
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\n<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
            LEFT - 6.0,
            at + 4.0
        ));
    }
    let mut marked: Vec<f64> =
        every().map(|point| point.0).filter(|viewers| *viewers >= most / 12.0).collect();
    marked.sort_by(f64::total_cmp);
    marked.dedup();
    for viewers in marked {
        text.push_str(&format!(
            "<text x=\"{:.1}\" y=\"348\" text-anchor=\"middle\">{viewers}</text>\n",
            x(viewers)
        ));
    }
    let mut last_label = f64::NEG_INFINITY;
    let mut ends: Vec<(f64, String)> = Vec::new();
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let Some(&(viewers, value)) = line.points.last() else { continue };
        let places: Vec<String> = line
            .points
            .iter()
            .map(|(viewers, value)| format!("{:.1},{:.1}", x(*viewers), y(*value)))
            .collect();
        text.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            places.join(" ")
        ));
        for (viewers, value) in &line.points {
            text.push_str(&format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n",
                x(*viewers),
                y(*value)
            ));
        }
        ends.push((
            y(value),
            format!("<text x=\"{:.1}\" y=\"@\" fill=\"{colour}\">{}</text>\n", x(viewers) + 8.0, line.label),
        ));
    }
    // Labels from the top down, none on another.
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at, label) in ends {
        last_label = (at + 4.0).max(last_label + 14.0);
        text.push_str(&label.replace('@', &format!("{last_label:.1}")));
    }
    text.push_str("</svg>\n");
    text
}
