//! A plot of what each way of composing costs, as SVG: no library, and small enough to be read as text.

/// What was measured at one geometry.
pub(super) struct Group {
    pub(super) name: &'static str,
    /// Names, and CPU milliseconds a canvas; the first one is ours.
    pub(super) bars: Vec<(String, f64)>,
}

const WIDTH: f64 = 720.0;
/// Where bars begin, and the longest one ends.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 660.0;
const BAR: f64 = 16.0;
const GAP: f64 = 34.0;
const OURS: &str = "#1f6fb2";
const COPYING: &str = "#9aa5ad";
const OTHERS: &str = "#c2571a";

/// Horizontal bars from zero, all to one scale.
pub(super) fn svg(groups: &[Group]) -> String {
    let longest = groups.iter().flat_map(|group| &group.bars).map(|(_, time)| *time).fold(0.1, f64::max);
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = 40.0 + groups.len() as f64 * GAP + bars as f64 * BAR;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\">CPU milliseconds a canvas of 1920x1080, every tile new</text>\n"
    );
    let mut y = 30.0;
    for group in groups {
        y += GAP;
        text += &format!("<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{}</text>\n", y - 8.0, group.name);
        for (i, (name, time)) in group.bars.iter().enumerate() {
            let colour = match name.starts_with("copying") {
                true => COPYING,
                false if i == 0 => OURS,
                false => OTHERS,
            };
            let name = if i == 0 { "wallcast" } else { name };
            let length = (RIGHT - LEFT) * time / longest;
            text += &format!(
                "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{name}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.0}\">{time:.2}</text>\n",
                LEFT - 8.0,
                y + BAR - 4.0,
                BAR - 3.0,
                LEFT + length + 6.0,
                y + BAR - 4.0
            );
            y += BAR;
        }
    }
    text + "</svg>\n"
}
