//! Line charts as SVG text, readable on light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
/// The plot area: the legend is right of it, the title above, the scales left and below.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 220.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 56.0;
/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8a800"];
/// The greatest number of steps between marks on a linear scale.
const MARKS: f64 = 6.0;

#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// The file's name without its extension.
    pub(crate) file: String,
    pub(crate) title: String,
    /// The horizontal axis, with its unit.
    pub(crate) x: String,
    /// The vertical axis, with its unit.
    pub(crate) y: String,
    /// Whether the horizontal axis is logarithmic.
    pub(crate) logarithmic: bool,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// The cumulative distribution: for each percent, the value below which that share of the values lies.
pub(crate) fn distribution(values: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    (0..=100).map(|percent| (sorted[last * percent / 100], percent as f64)).collect()
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
            escape(&self.title)
        );
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let (least, most) =
            all().fold((f64::MAX, f64::MIN), |(least, most), point| (least.min(point.0), most.max(point.0)));
        let top = all().map(|point| point.1).fold(0.0, f64::max);
        if most > f64::MIN && top > 0.0 {
            let logarithmic = self.logarithmic && least > 0.0;
            let x = Scale::new(if logarithmic { least } else { least.min(0.0) }, most, (LEFT, RIGHT), logarithmic);
            let y = Scale::new(0.0, top, (BOTTOM, TOP), false);
            self.draw(&mut svg, &x, &y);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let mut add = |line: String| writeln!(svg, "{line}").expect("a string takes it");
        for mark in x.marks() {
            let at = x.place(mark);
            add(format!("<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>"));
            add(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>", BOTTOM + 18.0));
        }
        for mark in y.marks() {
            let at = y.place(mark);
            add(format!("<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>"));
            add(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>", LEFT - 8.0, at + 4.0));
        }
        let middle = f64::midpoint(LEFT, RIGHT);
        add(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 14.0, escape(&self.x)));
        let middle = f64::midpoint(TOP, BOTTOM);
        let turned = format!("transform=\"rotate(-90 16 {middle})\" text-anchor=\"middle\"");
        add(format!("<text x=\"16\" y=\"{middle}\" {turned}>{}</text>", escape(&self.y)));
        for (index, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let places = line.points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x.place(a), y.place(b)));
            let places: Vec<String> = places.collect();
            add(format!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                places.join(" ")
            ));
            let at = TOP + 8.0 + 20.0 * index as f64;
            let (from, to) = (RIGHT + 14.0, RIGHT + 36.0);
            add(format!("<path d=\"M{from} {at}H{to}\" stroke=\"{colour}\" stroke-width=\"3\"/>"));
            add(format!("<text x=\"{}\" y=\"{}\">{}</text>", to + 6.0, at + 4.0, escape(&line.name)));
        }
    }
}

/// Maps values to coordinates.
struct Scale {
    least: f64,
    most: f64,
    places: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    fn new(least: f64, most: f64, places: (f64, f64), logarithmic: bool) -> Self {
        // A single value also needs a non-empty range.
        let most = if most > least { most } else { least + 1.0 };
        Self { least, most, places, logarithmic }
    }

    fn place(&self, value: f64) -> f64 {
        let along = |value: f64| if self.logarithmic { value.max(self.least).ln() } else { value };
        let share = (along(value) - along(self.least)) / (along(self.most) - along(self.least));
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Round values: 1, 2 and 5 times each power of ten on a logarithmic scale, multiples of one of them on a linear scale.
    fn marks(&self) -> Vec<f64> {
        let round = (-3..=9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        let within = |value: &f64| (self.least..=self.most).contains(value);
        if self.logarithmic {
            return round.filter(within).collect();
        }
        let step = round.into_iter().find(|step| (self.most - self.least) / step <= MARKS).unwrap_or(f64::MAX);
        let first = (self.least / step).ceil() as i64;
        (first..).map(|count| tidy(count as f64 * step)).take_while(|value| *value <= self.most).collect()
    }
}

/// Removes the rounding error of floating-point multiplication.
fn tidy(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_lines_and_round_marks() {
        let chart = Chart {
            file: "age".to_owned(),
            title: "a < b".to_owned(),
            x: "ms".to_owned(),
            y: "%".to_owned(),
            logarithmic: true,
            lines: vec![Line::new("one", distribution(&[100.0, 300.0, 200.0])), Line::new("none", Vec::new())],
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b") && svg.contains(">one</text>") && svg.contains(">200</text>"), "{svg}");
        assert!(
            svg.contains(&format!("{LEFT:.1},{BOTTOM:.1}")) && svg.contains(&format!("{RIGHT:.1},{TOP:.1}")),
            "{svg}"
        );
    }

    #[test]
    fn a_scale_is_marked_at_multiples() {
        let scale = Scale::new(0.0, 1.1, (0.0, 110.0), false);
        assert_eq!(scale.marks(), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(scale.place(0.55).round(), 55.0);
        assert_eq!(Scale::new(30.0, 600.0, (0.0, 1.0), true).marks(), [50.0, 100.0, 200.0, 500.0]);
    }
}
