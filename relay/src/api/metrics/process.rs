//! Reads metrics of this process from procfs (proc(5)), and its number of tasks. Without procfs, its values are absent.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use tokio::runtime::Handle;

/// See the [module](self).
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Totals {
    /// Bytes.
    pub(super) resident: Option<u64>,
    pub(super) descriptors: Option<u64>,
    pub(super) children: Option<u64>,
    /// Tasks of the current runtime: several for each connection, viewer and source.
    pub(super) tasks: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
}

impl Totals {
    pub(super) fn read() -> Self {
        let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|text| field(&text, 1));
        let children = fs::read_dir("/proc/self/task").ok().map(|tasks| {
            let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
            tasks.flatten().map(|task| of_task(task).split_whitespace().count() as u64).sum()
        });
        Self {
            resident: pages.map(|pages| pages * page_size() as u64),
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as u64),
            children,
            tasks: Handle::try_current().ok().map(|runtime| runtime.metrics().num_alive_tasks() as u64),
            cpu_seconds: fs::read_to_string("/proc/self/stat")
                .ok()
                .and_then(|text| cpu(&text, clock_ticks_per_second())),
        }
    }
}

fn field(text: &str, index: usize) -> Option<u64> {
    text.split_whitespace().nth(index)?.parse().ok()
}

/// The CPU time: `utime` and `stime` of `/proc/PID/stat`, fields 14 and 15. Field 2 is a name in brackets that may contain
/// spaces.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some((field(rest, 11)? + field(rest, 12)?) as f64 / ticks_per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu(stat, 100), Some(3.0));
        assert_eq!(cpu("42 (a", 100), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_knows_all_of_it() {
        let totals = Totals::read();
        assert!(totals.resident.is_some_and(|bytes| bytes > 1 << 20), "{totals:?}");
        assert!(totals.descriptors.is_some_and(|open| open >= 3) && totals.cpu_seconds.is_some(), "{totals:?}");
    }
}
