//! The relay's clock, by which everything on the wire is timed.
//!
//! It is the system's clock as it was when the relay first asked, going on steadily: a step of the system's clock (a
//! machine that sets it after starting, an operator) would for a while make every picture look younger or older than it
//! is.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the Unix epoch.
pub fn now() -> Duration {
    static ANCHOR: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (instant, unix) = ANCHOR.get_or_init(|| {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), unix)
    });
    *unix + instant.elapsed()
}

/// Milliseconds since the Unix epoch, in fractions, as on the wire.
pub fn unix_ms() -> f64 {
    now().as_secs_f64() * 1e3
}
