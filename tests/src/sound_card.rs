//! A sound card without a loudspeaker, for machines without sound, and a recorder of its output: it shows what a browser really
//! plays, and when.
//!
//! A PulseAudio server of one test with a null sink as its only output. The sink's clock is the system's. Input: a browser's
//! sound. Output: the times at which beeps began.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use crate::beeps;
use crate::outcome::skip;
use crate::process::Owned;
use crate::run::until;
use crate::viewer::unix_ms;

const START: Duration = Duration::from_secs(10);
/// Samples per second, and bytes per sample.
const RATE: usize = 48_000;
const SAMPLE: usize = 2;
/// The size of a recorded chunk, which bounds the error of a time.
const HEARD_AT_ONCE_MS: &str = "5";

/// See the [module](self).
#[derive(Debug)]
pub struct SoundCard {
    _server: Owned,
    folder: TempDir,
    heard: Arc<Mutex<Heard>>,
    recorder: JoinHandle<()>,
}

/// The sound recorded since the start.
#[derive(Debug, Default)]
struct Heard {
    sound: Vec<u8>,
    /// The time at which the first sample was played, in milliseconds of Unix time.
    began: f64,
}

impl SoundCard {
    /// Starts the card and its recorder. A recorder that starts later would change the card's buffer size while the browser
    /// plays.
    ///
    /// `None`, with a `SKIPPED:` line, if PulseAudio is not installed: systems with PipeWire do not permit both.
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
                skip(&format!("PulseAudio does not start, without which sound is not heard: {error}"));
                return None;
            }
        };
        until("PulseAudio", START, async || socket.exists().then_some(())).await;
        let heard = Arc::new(Mutex::new(Heard { sound: Vec::new(), began: f64::INFINITY }));
        let recorder = tokio::spawn(listen(address(&folder), heard.clone()));
        Some(Self { _server: server, folder, heard, recorder })
    }

    /// Its address for programs: `PULSE_SERVER`.
    pub fn address(&self) -> String {
        address(&self.folder)
    }

    /// Records for `span`. Returns the times at which beeps began, in milliseconds of Unix time.
    ///
    /// # Panics
    /// When it cannot record.
    pub async fn listen(&self, span: Duration) -> Vec<f64> {
        let from = unix_ms();
        tokio::time::sleep(span).await;
        assert!(!self.recorder.is_finished(), "the recorder has ended: is parec installed, and the sound card there?");
        let heard = self.heard.lock().expect("the recorder has not failed");
        let begin = beeps::begin(&heard.sound, RATE).map(|at| heard.began + at * 1e3);
        begin.filter(|&at| at >= from).collect()
    }
}

impl Drop for SoundCard {
    fn drop(&mut self) {
        self.recorder.abort();
    }
}

fn address(folder: &TempDir) -> String {
    format!("unix:{}", folder.path().join("socket").display())
}

/// Records until the card is gone.
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
        // A chunk cannot arrive early: the least late chunk determines the time of the first sample.
        let so_far = (heard.sound.len() / SAMPLE) as f64 * 1e3 / RATE as f64;
        heard.began = heard.began.min(unix_ms() - so_far);
    }
}
