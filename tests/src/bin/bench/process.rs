//! CPU time and memory of processes, from `/proc` (proc(5)).

use std::collections::HashSet;
use std::fs;

use sightline_tests::process::Process;

/// CPU seconds of a process, in user and system mode.
pub(crate) fn cpu_seconds(pid: i32) -> f64 {
    ticks(pid, 11..13).expect("the process lives") as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// CPU seconds of a process and all its descendants, ended ones included.
pub(crate) fn tree_cpu_seconds(pid: i32) -> f64 {
    let ticks: u64 = tree(pid).into_iter().filter_map(|pid| ticks(pid, 11..15)).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Memory of a process and all its descendants, in KiB. Shared memory counts once (PSS).
pub(crate) fn tree_memory_kib(pid: i32) -> u64 {
    let kib = |pid: i32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    tree(pid).into_iter().filter_map(kib).sum()
}

fn tree(pid: i32) -> HashSet<i32> {
    let all = Process::all();
    let mut family = HashSet::from([pid]);
    // A parent's id may be larger than its child's: repeat until nothing is added.
    while all.iter().any(|one| family.contains(&one.parent) && family.insert(one.pid)) {}
    family
}

/// The sum of some fields after the name: utime, stime, cutime and cstime are 11 to 14. None for a process that has ended.
fn ticks(pid: i32, fields: std::ops::Range<usize>) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain spaces.
    let after: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    after.get(fields)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}
