//! Child processes that end with their owner, and their entries in `/proc`.
//!
//! Every child carries two marks in its environment: one for this test process, one for its [`Owned`]. Its own children inherit
//! them, even in another process group or under another parent. Dropping an owner kills every process with the owner's mark.
//! The end of this process kills every process with its mark.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::lines::Lines;
use crate::outcome;

/// Marks every descendant of this test process.
const RUN_MARK: &str = "SIGHTLINE_TESTS_RUN";
/// Marks every descendant of one [`Owned`].
const OWNER_MARK: &str = "SIGHTLINE_TESTS_OWNER";

/// The time limit between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// The time limit for killed processes to disappear, which takes milliseconds.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// How long the output of a process that has ended is awaited: a process that it has started may hold the pipe open.
const OUTPUT: Duration = Duration::from_millis(500);

/// Starts a background watcher that waits until standard input ends, which happens when the test process is gone for any
/// reason. It then kills the processes with the mark `$1` and removes the folder `$2`.
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
    # What was killed may still write for a moment.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$2" && break
        sleep 0.2
    done
} &
"#;

/// A child process, killed with all its descendants on drop.
#[derive(Debug)]
pub struct Owned {
    name: String,
    child: Child,
    mark: String,
    status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: Lines,
    /// Its standard error.
    pub stderr: Lines,
}

impl Owned {
    /// Starts `command` in a new process group. Its standard input stays open until the drop.
    ///
    /// # Errors
    /// When the program cannot be started, usually because it is not found.
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

    /// Sends a signal to the process, not to its children.
    pub fn signal(&self, signal: Signal) {
        // It may have ended already: then there is nothing to signal.
        let _ = kill_process(pid(self.pid()), signal);
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When the write fails, usually because the process has ended.
    pub fn tell(&self, line: &str) {
        let mut input = self.child.stdin.as_ref().expect("stdin is piped");
        writeln!(input, "{line}").unwrap_or_else(|e| panic!("{} does not take {line:?}: {e}", self.name));
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        self.status
    }

    /// Waits for its end, and for the last of its output: the threads that read it lag behind the exit.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        let status = crate::run::until(&what, limit, async || self.exited()).await;
        let ended = Instant::now();
        while !(self.stdout.is_complete() && self.stderr.is_complete()) && ended.elapsed() < OUTPUT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        status
    }

    /// All living descendants, in any process group and under any parent, without the process itself.
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

    /// Its children that have ended and were not reaped.
    pub fn zombies(&self) -> Vec<Process> {
        Process::all().into_iter().filter(|p| p.parent == self.pid() && p.state == 'Z').collect()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Chromium's helpers overwrite their environment with their title. Once their parents are gone, neither parent ids nor
        // marks identify them.
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
        // Waits until they are gone: a killed process may still write to the owner's files, which are removed next.
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
        let (out, err) = (self.stdout.text(), self.stderr.text());
        outcome::note_output(&err);
        if std::thread::panicking() {
            eprintln!("---- {}: {:?}\n{}\n{}\n----", self.name, self.status.map(describe), tail(&out), tail(&err));
        }
    }
}

/// The end of a failed test's logs: enough to see the cause, short enough not to hide the failure.
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
    /// All processes.
    pub fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").expect("/proc");
        entries.filter_map(|entry| Self::read(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// The process with this id, if it exists.
    pub fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, which may itself contain parentheses and spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = command.split(|&b| b == 0).filter(|word| !word.is_empty());
        let command = command.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some(Self { pid, parent, state, command })
    }

    /// Whether it runs. A process that waits to be reaped does not.
    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.state != 'Z' && now.command == self.command)
    }

    /// Whether it is an FFmpeg.
    pub fn is_ffmpeg(&self) -> bool {
        self.command.first().is_some_and(|program| program.ends_with("ffmpeg"))
    }

    /// Suspends it: it reacts only to SIGKILL and SIGCONT.
    pub fn stop(&self) {
        let _ = kill_process(pid(self.pid), Signal::STOP);
    }

    /// Lets a suspended process go on.
    pub fn resume(&self) {
        let _ = kill_process(pid(self.pid), Signal::CONT);
    }

    /// Kills it.
    pub fn kill(&self) {
        let _ = kill_process(pid(self.pid), Signal::KILL);
    }

    /// Whether its initial environment contains `KEY=VALUE`.
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

/// Processor time of a process since its start, in seconds.
///
/// # Panics
/// When there is no such process.
pub fn cpu_seconds(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The name, in parentheses, may have spaces. utime and stime are the 12th and 13th field after it (proc(5)).
    let fields = stat.rsplit_once(')').expect("proc(5) has the name").1;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn pid(raw: i32) -> Pid {
    Pid::from_raw(raw).expect("a process id is not 0")
}

/// A folder for temporary files, removed when this process is gone.
///
/// # Panics
/// When it cannot be created.
pub fn run_folder() -> PathBuf {
    let folder = folder_of(sweep_at_exit());
    std::fs::create_dir_all(&folder).expect("a temporary directory");
    folder
}

fn folder_of(run: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sightline-tests-{run}"))
}

/// Starts, once, the watcher that ends this process's children and removes its files. Returns the mark's value.
fn sweep_at_exit() -> &'static str {
    // The watcher's standard input ends with this process in every case: statics are never dropped.
    static SWEEP: OnceLock<(String, ChildStdin)> = OnceLock::new();
    let (run, _) = SWEEP.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let run = format!("{}-{}", std::process::id(), now.as_nanos());
        let mut sweeper = Command::new("sh");
        sweeper.args(["-c", SWEEPER, "sweeper", &format!("{RUN_MARK}={run}")]).arg(folder_of(&run));
        sweeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        // A test that runs itself again is marked, and its watcher must outlive it.
        sweeper.env_remove(RUN_MARK).env_remove(OWNER_MARK);
        let mut sweeper = sweeper.spawn().expect("sh is there");
        let pipe = sweeper.stdin.take().expect("stdin is piped");
        // The shell ends at once. Its background job waits for the pipe.
        assert!(sweeper.wait().is_ok_and(|status| status.success()), "the sweeper starts");
        (run, pipe)
    });
    run
}
