//! A curve of the latest values, newest at the right.

use yew::prelude::*;

/// The units of the drawing; the page stretches it.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 30.0;

/// The SVG path of `values` on `count` positions, from 0 at the bottom to `top`. Unknown values are gaps.
fn path(values: &[Option<f64>], count: usize, top: f64) -> String {
    let step = WIDTH / (count.max(2) - 1) as f64;
    let first = WIDTH - step * values.len().saturating_sub(1) as f64;
    let mut path = String::new();
    let mut drawing = false;
    for (n, value) in values.iter().enumerate() {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let (x, y) = (first + step * n as f64, HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0)));
        path += &format!("{}{x:.1} {y:.1}", if drawing { "L" } else { "M" });
        drawing = true;
    }
    path
}

/// The least of 1, 2, 5, 10, 20 … times `unit` that is not below any value: a scale that rarely changes.
fn scale(values: &[Option<f64>], unit: f64) -> f64 {
    let highest = values.iter().flatten().copied().fold(unit, f64::max);
    let tens = 10f64.powf((highest / unit).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * tens * unit);
    steps.into_iter().find(|&step| step >= highest).unwrap_or(highest)
}

/// Renders the curve. `unit` is the minimum of the scale, `label` the text for screen readers; `write` formats the top of the
/// scale.
pub fn curve(values: &[Option<f64>], count: usize, unit: f64, label: &str, write: impl Fn(f64) -> String) -> Html {
    let top = scale(values, unit);
    html! {
        <figure class="curve">
            <svg viewBox={format!("0 0 {WIDTH} {HEIGHT}")} preserveAspectRatio="none" role="img" aria-label={label.to_owned()}>
                <path class="line" d={path(values, count, top)} />
            </svg>
            <span class="curve-top" aria-hidden="true">{ write(top) }</span>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_value_is_rightmost_and_gaps_stay_gaps() {
        assert_eq!(path(&[], 60, 1.0), "");
        assert_eq!(path(&[Some(1.0), Some(0.0)], 3, 1.0), "M60.0 0.0L120.0 30.0");
        assert_eq!(path(&[Some(0.0), None, Some(9.0)], 3, 1.0), "M0.0 30.0M120.0 0.0");
    }

    #[test]
    fn scale_has_round_steps() {
        for (highest, top) in [(0.0, 100.0), (99.0, 100.0), (101.0, 200.0), (450.0, 500.0), (501.0, 1000.0), (7e3, 1e4)]
        {
            assert_eq!(scale(&[None, Some(highest)], 100.0), top, "{highest}");
        }
    }
}
