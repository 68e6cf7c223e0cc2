//! Statistics of measurements.

/// The value that this percentage of the values lies below. `sorted` is ascending and not empty.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    assert!(!sorted.is_empty(), "nothing was measured");
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// The median of at least one value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

/// The statistic of a timing test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The smallest: the time of the code itself, without delays of the machine.
    Min,
    /// The median.
    Median,
    /// The 95th percentile.
    P95,
    /// The largest.
    Max,
}

impl Statistic {
    /// Computes the statistic.
    ///
    /// # Panics
    /// Without samples.
    pub fn of(self, samples: &[f64]) -> f64 {
        assert!(!samples.is_empty(), "nothing was measured");
        match self {
            Self::Min => samples.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Median => median(samples.to_vec()),
            Self::P95 => {
                let mut sorted = samples.to_vec();
                sorted.sort_by(f64::total_cmp);
                percentile(&sorted, 95)
            }
            Self::Max => samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Prints all samples in ms and compares a statistic with a bound, both declared in advance.
///
/// # Panics
/// When the statistic is over the bound.
pub fn assert_at_most(what: &str, samples_ms: &[f64], statistic: Statistic, bound_ms: f64) {
    let value = statistic.of(samples_ms);
    let line = format!("{what}: {statistic:?} {value:.0} ms, at most {bound_ms:.0} ms; samples {samples_ms:.0?}");
    crate::run::say(&line);
    assert!(value <= bound_ms, "{line}");
}
