//! Child processes that end with their owner, and what `/proc` says about them.
//!
//! Every child carries two marks in its environment, which its own children inherit wherever they move (another process
//! group, another parent): one for this test process, one for the [`Owned`] it came from. Whatever carries an owner's
//! mark is killed when the owner is dropped; whatever carries the process's mark is killed when the process is gone.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::lines::Lines;

/// Marks everything that descends from this test process.
const RUN_MARK: &str = "SIGHTLINE_TESTS_RUN";
/// Marks everything that descends from one [`Owned`].
const OWNER_MARK: &str = "SIGHTLINE_TESTS_OWNER";

/// How long a process may take to end after SIGTERM before it is killed.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// How long the system may take to end what was killed; it is a matter of milliseconds.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// Leaves a watcher behind that waits until standard input ends, which is when the test process is gone for whatever
/// reason, and then kills what carries the mark `$1`.
const SWEEPER: &str = r#"
exec 3<&0
{
    read -r _ <&3
    for environ in /proc/[0-9]*/environ; do
        if grep -qzxF "$1" "$environ"; then
            pid=${environ#/proc/}
            kill -KILL "${pid%/environ}"
        fi
    done
} &
"#;

/// A child process that is ended, with everything that descends from it, when this is dropped.
#[derive(Debug)]
pub struct Owned {
    name: String,
    child: Child,
    mark: String,
    status: Option<ExitStatus>,
    /// What it printed on standard output.
    pub stdout: Lines,
    /// What it printed on standard error.
    pub stderr: Lines,
}

impl Owned {
    /// Starts `command` in a process group of its own. Its standard input stays open until the drop.
    ///
    /// # Errors
    /// When the program cannot be started: not found, above all.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let run = sweep_at_exit();
        let mark = format!("{OWNER_MARK}={run}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (key, value) = mark.split_once('=').expect("a mark is KEY=VALUE");
        let mut child = command
            .env(RUN_MARK, run)
            .env(key, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdout, stderr) = (Lines::default(), Lines::default());
        stdout.read(child.stdout.take().expect("stdout is piped"));
        stderr.read(child.stderr.take().expect("stderr is piped"));
        Ok(Self { name: name.to_owned(), child, mark, status: None, stdout, stderr })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id is positive")
    }

    /// Sends it a signal: to itself, not to its children.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself: then there is nothing to signal.
        let _ = kill_process(pid(self.pid()), signal);
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it does not take it: it has ended, above all.
    pub fn tell(&self, line: &str) {
        let mut input = self.child.stdin.as_ref().expect("stdin is piped");
        writeln!(input, "{line}").unwrap_or_else(|e| panic!("{} does not take {line:?}: {e}", self.name));
    }

    /// Whether it has ended, and how.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        self.status
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        crate::run::until(&what, limit, async || self.exited()).await
    }

    /// Everything alive that descends from it, wherever it has moved; not the process itself.
    pub fn descendants(&self) -> Vec<Process> {
        let all = Process::all();
        let mut family = HashSet::from([self.pid()]);
        // A parent's id may be larger than its child's: repeat until nothing is added.
        while all.iter().any(|p| family.contains(&p.parent) && family.insert(p.pid)) {}
        all.into_iter()
            .filter(|p| p.pid != self.pid() && p.state != 'Z')
            .filter(|p| family.contains(&p.pid) || p.carries(&self.mark))
            .collect()
    }

    /// Its own children that have ended and were not reaped.
    pub fn zombies(&self) -> Vec<Process> {
        Process::all().into_iter().filter(|p| p.parent == self.pid() && p.state == 'Z').collect()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Chromium's helpers overwrite their environment with their title: once their parents are gone they are found
        // by neither family nor mark.
        let family = self.descendants();
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.exited().is_none() && start.elapsed() < TERM_GRACE {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.exited().is_none() {
            let _ = kill_process_group(pid(self.pid()), Signal::KILL);
            let _ = self.child.wait();
        }
        // Until they are gone, not only told to go: they may still write where the owner's files are removed next.
        let start = Instant::now();
        loop {
            let mut left = self.descendants();
            left.extend(family.iter().filter(|process| process.is_alive()).cloned());
            if left.is_empty() || start.elapsed() > KILL_GRACE {
                break;
            }
            left.iter().for_each(Process::kill);
            std::thread::sleep(Duration::from_millis(10));
        }
        if std::thread::panicking() {
            let (out, err) = (self.stdout.text(), self.stderr.text());
            eprintln!("---- {}: {:?}\n{}\n{}\n----", self.name, self.status.map(describe), tail(&out), tail(&err));
        }
    }
}

/// Enough of a failed test's logs to see what happened, not so much that the failure is lost in them.
fn tail(text: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn describe(status: ExitStatus) -> String {
    status.signal().map_or_else(|| status.to_string(), |signal| format!("ended by signal {signal}"))
}

/// A process as `/proc` shows it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its state as one letter: `Z` has ended and waits to be reaped (proc(5)).
    pub state: char,
    /// Its command line.
    pub command: Vec<String>,
}

impl Process {
    /// Every process there is.
    pub fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").expect("/proc");
        entries.filter_map(|entry| Self::read(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// The process of this id, if it is there.
    pub fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, which may itself hold parentheses and spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = command.split(|&b| b == 0).filter(|word| !word.is_empty());
        let command = command.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some(Self { pid, parent, state, command })
    }

    /// Whether it runs; a process that has ended and waits to be reaped does not.
    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.state != 'Z' && now.command == self.command)
    }

    /// Whether it is an FFmpeg.
    pub fn is_ffmpeg(&self) -> bool {
        self.command.first().is_some_and(|program| program.ends_with("ffmpeg"))
    }

    /// Stops it where it is: it does not react to anything but the signal that ends it at once.
    pub fn stop(&self) {
        let _ = kill_process(pid(self.pid), Signal::STOP);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        let _ = kill_process(pid(self.pid), Signal::KILL);
    }

    /// Whether its environment, as it was started, holds `KEY=VALUE`.
    fn carries(&self, mark: &str) -> bool {
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environ| environ.split(|&b| b == 0).any(|entry| entry == mark.as_bytes()))
    }
}

/// Resident memory of a process in KiB.
///
/// # Panics
/// When there is no such process.
pub fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5) has VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number of kB")
}

fn pid(raw: i32) -> Pid {
    Pid::from_raw(raw).expect("a process id is not 0")
}

/// Starts, once, the watcher that kills what this process leaves behind; gives the mark's value.
fn sweep_at_exit() -> &'static str {
    // The watcher's standard input ends with this process, however it ends: statics are never dropped.
    static SWEEP: OnceLock<(String, ChildStdin)> = OnceLock::new();
    let (run, _) = SWEEP.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let run = format!("{}-{}", std::process::id(), now.as_nanos());
        let mut sweeper = Command::new("sh");
        sweeper.args(["-c", SWEEPER, "sweeper", &format!("{RUN_MARK}={run}")]);
        sweeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        // A test that runs itself again is marked, and its watcher has to outlive it.
        sweeper.env_remove(RUN_MARK).env_remove(OWNER_MARK);
        let mut sweeper = sweeper.spawn().expect("sh is there");
        let pipe = sweeper.stdin.take().expect("stdin is piped");
        // The shell ends at once; what it left in the background waits for the pipe.
        assert!(sweeper.wait().is_ok_and(|status| status.success()), "the sweeper starts");
        (run, pipe)
    });
    run
}
