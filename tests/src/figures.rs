//! What many measurements come to.

/// The value so many percent of the others are below; of sorted values, at least one.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    assert!(!sorted.is_empty(), "nothing was measured");
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// The value in the middle; of at least one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}
