//! An FFmpeg process that cannot outlive its owner.
//!
//! | what ends the owner | what ends FFmpeg |
//! | --- | --- |
//! | it stops it | [`Child::stop`]: SIGTERM, so that FFmpeg can say goodbye to the camera, then SIGKILL |
//! | its task panics or is dropped | [`Child`]'s `Drop`: SIGKILL to the process group |
//! | memory runs out | the kernel, which prefers FFmpeg to the relay (`OOM_SCORE`) |
//! | SIGKILL of the relay | the kernel, as FFmpeg's parent death signal (prctl(2), Linux) |
//!
//! Setting the death signal between fork and exec takes unsafe code in the parent, so the relay starts itself instead. The child
//! sets the signal for itself and then becomes FFmpeg ([`become_ffmpeg`]).
//!
//! FFmpeg runs as the relay's account and parses what cameras send. It gets a reduced [`environment`](super::environment) and a
//! [`Confinement`], and [`protect_memory`] keeps it out of the relay's memory.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::confinement::Confinement;
use super::environment;
use crate::limits::LiveLimits;

/// The first argument of the relay's process that becomes FFmpeg; then follow the parent's process id, the bytes of memory, the
/// [`Confinement`] in JSON, FFmpeg's path and FFmpeg's arguments.
pub const BECOME_FFMPEG: &str = "--become-ffmpeg";

/// FFmpeg's `oom_score_adj` (proc(5); at most 1000). Without free memory, the kernel kills a large FFmpeg before the relay.
#[cfg(target_os = "linux")]
const OOM_SCORE: &str = "500";

/// What FFmpeg gets to end by itself after SIGTERM: an RTSP TEARDOWN takes one round trip to the camera.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How to start FFmpeg.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// FFmpeg.
    pub ffmpeg: PathBuf,
    /// This program, if its `main` calls [`become_ffmpeg`]. Without it FFmpeg is not confined.
    pub relay: Option<PathBuf>,
    /// The limits, of which FFmpeg's memory is one.
    pub limits: LiveLimits,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// The process group, until it has been reaped and its number may belong to another process group.
    group: Option<Pid>,
}

impl Launcher {
    /// Starts FFmpeg within `confinement` in a process group of its own, with pipes to its output and error, and `stdin`.
    ///
    /// The kernel sends the death signal when the *thread* that started a process ends. Runtime worker threads live
    /// as long as the runtime; do not call this from a blocking thread.
    ///
    /// # Errors
    /// Where the process cannot be started.
    pub fn start(&self, args: &[String], confinement: &Confinement, stdin: Stdio) -> io::Result<Child> {
        let mut command = match &self.relay {
            Some(relay) => {
                let mut command = Command::new(relay);
                let memory = self.limits.now().ffmpeg_bytes;
                command.arg(BECOME_FFMPEG).arg(std::process::id().to_string()).arg(memory.to_string());
                command.arg(serde_json::to_string(confinement)?).arg(&self.ffmpeg);
                command
            }
            None => Command::new(&self.ffmpeg),
        };
        let process = command
            .args(args)
            .env_clear()
            .envs(environment::passed())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Child { process, group })
    }
}

impl Child {
    /// The pipes to its standard input, where it was started with one, output and error.
    ///
    /// # Panics
    /// When called twice.
    pub fn pipes(&mut self) -> (Option<ChildStdin>, ChildStdout, ChildStderr) {
        let (Some(stdout), Some(stderr)) = (self.process.stdout.take(), self.process.stderr.take()) else {
            panic!("the pipes of a child are taken once");
        };
        (self.process.stdin.take(), stdout, stderr)
    }

    /// The process id, until the process has been reaped.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks the process to end, makes it end, and reaps it. Its pipes should have been dropped before: a process that
    /// waits for a reader does not see the request.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(SHUTDOWN_GRACE, self.process.wait()).await.is_err() {
            self.signal(Signal::KILL);
            // SIGKILL cannot be refused, but a process that a driver or a network file system holds up in the kernel
            // ends later; the runtime reaps it then.
            let _ = tokio::time::timeout(SHUTDOWN_GRACE, self.process.wait()).await;
        }
        // What it may have started is in its group.
        self.signal(Signal::KILL);
        if self.process.id().is_none() {
            self.group = None;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The only error is that the group is empty, which is the goal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Makes the kernel refuse other processes of the same account this process's memory and environment, by ptrace(2),
/// `/proc/PID/mem` or a core dump (PR_SET_DUMPABLE). FFmpeg is dumpable again after its exec; it holds no secret but its
/// source's address. Does nothing where the system has no such attribute.
///
/// # Errors
/// The system refuses, which Linux does not.
pub fn protect_memory() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The other half of [`Launcher::start`], in the new process: arranges to die with the parent, confines itself and becomes
/// FFmpeg. Returns only if that fails.
pub fn become_ffmpeg(mut args: impl Iterator<Item = OsString>) -> io::Error {
    let Some((parent, memory, confinement)) = launch_arguments(&mut args) else {
        return io::Error::new(io::ErrorKind::InvalidInput, "the relay's arguments for it are expected");
    };
    let Some(program) = args.next() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "a program is expected");
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // Where the system has no such file, the kernel chooses as before.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    // The parent may have died before the signal was set.
    if rustix::process::getppid() != Pid::from_raw(parent) {
        return io::Error::other("the parent is gone");
    }
    if let Err(error) = confinement.apply(memory, Path::new(&program)) {
        return error;
    }
    let mut command = std::process::Command::new(program);
    if let Some(proxy) = confinement.proxy() {
        command.env("http_proxy", proxy).env_remove("no_proxy");
    }
    command.args(args).exec()
}

/// The parent's process id, the bytes of memory and the confinement.
fn launch_arguments(args: &mut impl Iterator<Item = OsString>) -> Option<(i32, u64, Confinement)> {
    let mut next = || args.next()?.into_string().ok();
    Some((next()?.parse().ok()?, next()?.parse().ok()?, serde_json::from_str(&next()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use rustix::process::test_kill_process_group;
    use tokio::time::{Instant, sleep};

    fn shell(script: &str) -> Child {
        let launcher = Launcher { ffmpeg: "/bin/sh".into(), relay: None, limits: LiveLimits::new(Limits::default()) };
        launcher.start(&["-c".to_owned(), script.to_owned()], &Confinement::of_pipes(None), Stdio::piped()).unwrap()
    }

    async fn group_is_gone(group: Pid) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if test_kill_process_group(group).is_err() {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn stop_kills_stubborn_process_and_its_children() {
        let child = shell("trap '' TERM; sleep 100 & while :; do sleep 1; done");
        let group = child.group.unwrap();
        sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        child.stop().await;
        assert!(start.elapsed() >= SHUTDOWN_GRACE, "it was asked first");
        assert!(group_is_gone(group).await);
    }

    #[tokio::test]
    async fn child_gets_the_path_and_no_unlisted_variable() {
        use tokio::io::AsyncReadExt as _;
        // cargo sets it for this test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let mut child = shell("env");
        let (_, mut stdout, _) = child.pipes();
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("PATH=") && !text.contains("CARGO"), "{text}");
        child.stop().await;
    }

    #[tokio::test]
    async fn owner_panic_kills_the_process() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let owner = tokio::spawn(async move {
            let child = shell("sleep 100 & sleep 100");
            sender.send(child.group.unwrap()).unwrap();
            panic!("this panic is part of the test");
        });
        let group = receiver.await.unwrap();
        assert!(owner.await.unwrap_err().is_panic());
        assert!(group_is_gone(group).await);
    }
}
