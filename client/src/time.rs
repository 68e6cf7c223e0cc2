//! The client's two kinds of time: moments of the page's clock, and spans of a video's timeline.

/// A moment of the page's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Moment {
    ms: f64,
}

impl Moment {
    /// The moment `ms` milliseconds after the page began, as returned by `performance.now()`.
    pub const fn from_ms(ms: f64) -> Self {
        Self { ms }
    }

    /// Seconds since the page began.
    pub fn seconds(self) -> f64 {
        self.ms / 1e3
    }

    /// Milliseconds from `earlier` to this moment; zero if it is not earlier.
    pub fn ms_since(self, earlier: Self) -> f64 {
        (self.ms - earlier.ms).max(0.0)
    }
}

/// A span of a video's timeline, in seconds, as in `HTMLMediaElement.buffered`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The start, inclusive.
    pub start: f64,
    /// The end, exclusive.
    pub end: f64,
}

impl Span {
    /// Whether `position` lies in the span; the end does not.
    pub fn contains(self, position: f64) -> bool {
        (self.start..self.end).contains(&position)
    }
}
