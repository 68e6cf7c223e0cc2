//! Measures the machine's load during a timing test. One figure is how late the system wakes a sleeping thread. The other is
//! the share of time in which a process waited for a core (`/proc/pressure/cpu`, Linux's pressure stall information). Both have
//! the same causes as a late frame: other processes, or a hypervisor that assigns the cores to other machines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stats::percentile;

/// The time between two wake-ups: a quarter of a frame's interval.
const INTERVAL: Duration = Duration::from_millis(10);

/// Measures until it is read.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
    begun: Instant,
    stalled: Option<Duration>,
}

/// The result of a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The 95th percentile of the wake-up delay, in ms.
    pub p95_ms: f64,
    /// The maximum of the wake-up delay, in ms.
    pub max_ms: f64,
    /// The share of time, 0 to 1, in which a process waited for a core. None if the kernel does not report it.
    pub pressure: Option<f64>,
}

impl Load {
    /// Above either limit the machine decides when a frame is shown, not the relay or a browser. Measured on two cores: 0.9 to
    /// 1.5 ms and 18 to 37 % in tests that ran alone, 7.8 ms beside compilers at a load of 16.
    const P95_LIMIT_MS: f64 = 5.0;
    const PRESSURE_LIMIT: f64 = 0.85;

    /// Whether a concurrent measurement of milliseconds is meaningless.
    pub fn is_too_high(&self) -> bool {
        self.p95_ms > Self::P95_LIMIT_MS || self.pressure.is_some_and(|share| share > Self::PRESSURE_LIMIT)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wake-ups late by {:.1} ms at p95, {:.0} ms at most", self.p95_ms, self.max_ms)?;
        self.pressure.map_or(Ok(()), |share| write!(f, ", cores short for {:.0} % of the time", share * 100.0))
    }
}

impl Probe {
    /// Starts measuring.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let measure = move || {
            let mut late = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(INTERVAL);
                late.push(begun.elapsed().saturating_sub(INTERVAL).as_secs_f64() * 1e3);
            }
            late
        };
        let thread = std::thread::Builder::new().name("load probe".to_owned()).spawn(measure);
        Self { stop, thread: thread.expect("a thread"), begun: Instant::now(), stalled: stalled() }
    }

    /// The load since the start.
    ///
    /// # Panics
    /// When the measuring thread has panicked.
    pub fn read(self) -> Load {
        self.stop.store(true, Ordering::Relaxed);
        let mut late = self.thread.join().expect("it only sleeps");
        late.sort_by(f64::total_cmp);
        let waited = self.stalled.zip(stalled()).map(|(before, now)| now.saturating_sub(before));
        let pressure = waited.map(|waited| waited.as_secs_f64() / self.begun.elapsed().as_secs_f64());
        let (p95_ms, max_ms) =
            if late.is_empty() { (0.0, 0.0) } else { (percentile(&late, 95), percentile(&late, 100)) };
        Load { p95_ms, max_ms, pressure }
    }
}

/// The total time in which a process has waited for a core since the system started.
fn stalled() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/pressure/cpu").ok()?;
    let micros = text.lines().next()?.rsplit_once("total=")?.1.trim().parse().ok()?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_measures_wake_ups() {
        let probe = Probe::start();
        std::thread::sleep(Duration::from_millis(60));
        let load = probe.read();
        assert!(load.p95_ms <= load.max_ms && load.max_ms < 5_000.0, "{load}");
        assert!(load.pressure.is_none_or(|share| (0.0..=1.01).contains(&share)), "{load}");
    }
}
