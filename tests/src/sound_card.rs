//! A sound card that plays into nothing, for machines that have none, and an ear on it: it hears what a browser really
//! plays, and when.
//!
//! A PulseAudio server of the test's own, whose only output is a null sink; its clock is the system's. Enters: whatever a
//! browser plays. Leaves: when beeps began.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use crate::beeps;
use crate::process::Owned;
use crate::run::{say, until};
use crate::viewer::unix_ms;

const START: Duration = Duration::from_secs(10);
/// Samples a second, and bytes of one.
const RATE: usize = 48_000;
const SAMPLE: usize = 2;
/// How much is heard at once: what it can be wrong about.
const HEARD_AT_ONCE_MS: &str = "5";

/// See the [module](self).
#[derive(Debug)]
pub struct SoundCard {
    _server: Owned,
    folder: TempDir,
    heard: Arc<Mutex<Heard>>,
    ear: JoinHandle<()>,
}

/// What was heard since the card was there.
#[derive(Debug, Default)]
struct Heard {
    sound: Vec<u8>,
    /// When the first sample was heard, in milliseconds of Unix time.
    began: f64,
}

impl SoundCard {
    /// Starts it. The ear listens from now on: one that came later would change how much the card buffers, under the
    /// browser.
    ///
    /// `None`, said loudly, where PulseAudio is not installed: systems with PipeWire do not let both be.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let socket = folder.path().join("socket");
        let protocol = format!("--load=module-native-protocol-unix auth-anonymous=1 socket={}", socket.display());
        let sink = format!("--load=module-null-sink sink_name=card rate={RATE}");
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes"]);
        command.args([protocol, sink]);
        for variable in ["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"] {
            command.env(variable, folder.path());
        }
        let server = match Owned::start("PulseAudio", &mut command) {
            Ok(server) => server,
            Err(error) => {
                say(&format!("SKIPPED: PulseAudio does not start, without which sound is not heard: {error}"));
                return None;
            }
        };
        until("PulseAudio", START, async || socket.exists().then_some(())).await;
        let heard = Arc::new(Mutex::new(Heard { sound: Vec::new(), began: f64::INFINITY }));
        let ear = tokio::spawn(listen(address(&folder), heard.clone()));
        Some(Self { _server: server, folder, heard, ear })
    }

    /// What programs find it by: `PULSE_SERVER`.
    pub fn address(&self) -> String {
        address(&self.folder)
    }

    /// Listens for `span`: when beeps began, in milliseconds of Unix time.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn listen(&self, span: Duration) -> Vec<f64> {
        let from = unix_ms();
        tokio::time::sleep(span).await;
        assert!(!self.ear.is_finished(), "the ear is deaf: is parec installed, and the sound card there?");
        let heard = self.heard.lock().expect("the ear has not failed");
        let begin = beeps::begin(&heard.sound, RATE).map(|at| heard.began + at * 1e3);
        begin.filter(|&at| at >= from).collect()
    }
}

impl Drop for SoundCard {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

fn address(folder: &TempDir) -> String {
    format!("unix:{}", folder.path().join("socket").display())
}

/// Until the card is gone.
async fn listen(address: String, heard: Arc<Mutex<Heard>>) {
    let mut command = tokio::process::Command::new("parec");
    command.args(["--device=card.monitor", "--raw", "--format=s16le", "--channels=1", &format!("--rate={RATE}")]);
    command.args([&format!("--latency-msec={HEARD_AT_ONCE_MS}"), "--process-time-msec=1"]);
    command.env("PULSE_SERVER", address).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("parec is installed");
    let mut output = child.stdout.take().expect("it is piped");
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let mut heard = heard.lock().expect("nobody fails who holds it");
        heard.sound.extend_from_slice(&buffer[..read]);
        // What is heard cannot come too early: when the first sample was heard follows from the least late one.
        let so_far = (heard.sound.len() / SAMPLE) as f64 * 1e3 / RATE as f64;
        heard.began = heard.began.min(unix_ms() - so_far);
    }
}
