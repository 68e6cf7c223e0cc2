//! The relay's clock. All times on the wire come from it.
//!
//! Anchored to the system's clock at the first call and monotonic from then on. A step of the system's clock (NTP after boot,
//! an operator) would otherwise shift the age of every frame.

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

/// Fractional milliseconds since the Unix epoch, as on the wire.
pub fn unix_ms() -> f64 {
    now().as_secs_f64() * 1e3
}
