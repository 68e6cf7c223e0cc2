//! Runs the sources: one reader or encoder for each rendition that has subscribers, however many.
//!
//! For each rendition one task lives as long as its stream ([`supervise`]). It waits for a subscriber, runs the direct reader or
//! FFmpeg, and publishes the frames. It restarts the source when it ends or falls silent, and stops it when the rendition has had
//! no subscriber for a while. `copy` reads the source. `h264` and `low` read the fragments of `copy`, as a viewer does, so a
//! camera has one connection however many variants run. Where a camera has a sub stream, `low` reads that.
//!
//! | module | task |
//! | --- | --- |
//! | [`supervisor`] | the streams of the configuration: starts and stops their tasks |
//! | [`run`], [`outcome`] | one run of a source or an encoder, and how it ended |
//! | [`publisher`], [`frame_order`] | fragmented MP4 into a rendition, with the order of frames examined first |
//! | [`reader`] | decides what reads a source: the relay or FFmpeg |
//! | [`rtsp_guard`] | keeps a camera within budgets, before anything reads what it sends |
//! | [`http_guard`], [`source_guard`] | keep FFmpeg's connections to the source's host |
//! | [`rtsp`], [`frame_timer`], [`clock_check`], [`rtsp_audio`], [`audio_clock`] | reads a camera without FFmpeg, and its audio |
//! | [`ffmpeg`], [`process`], [`environment`], [`confinement`] | FFmpeg's arguments, its process, its environment and its rights |
//! | [`stderr`], [`diagnosis`] | what FFmpeg says, and what it means |
//! | [`encoder_input`] | feeds an encoder |
//! | [`audio`] | the source's audio, in the form that browsers play |
//! | [`still`] | one frame as JPEG |

pub mod confinement;
pub mod diagnosis;
pub mod ffmpeg;
pub mod process;
pub mod supervisor;

mod audio;
mod audio_clock;
mod clock_check;
mod encoder_input;
mod environment;
mod frame_order;
mod frame_timer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod http_guard;
mod outcome;
mod publisher;
mod reader;
mod rtsp;
mod rtsp_audio;
mod rtsp_guard;
mod run;
mod source_guard;
mod stderr;
pub(crate) mod still;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use sightline_protocol::backoff::{Backoff, BackoffPolicy};
use sightline_protocol::catalogue::ReaderName;
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::{Audio, Config, Encoding, Source};
use crate::hub::Stream;
use crate::hub::audio_buffer::AudioBuffer;
use crate::hub::rendition::{AudioForm, Rendition, Status};
use crate::hub::source_reader::{CurrentReader, Fallback, SourceReader};
use crate::limits::LiveLimits;
use crate::limits::permit::Permit;
use crate::limits::transcodes::{TooManyTranscodes, TranscodeLimiter};
use ffmpeg::audio::AudioOutput;
use frame_order::FrameOrder;
use outcome::RunOutcome;
use process::Launcher;
use reader::{ReaderPolicy, SelectedReader, UnsupportedAction};
use rtsp::CLOCK_WRONG;
use run::{CLOCK_REWIND, Run};

/// A clock that was set back so often counts something else than time: FFmpeg then uses arrival times.
const CLOCK_REWINDS: u32 = 2;
/// Resets of a source's clock that are further apart than this are corrections of a right one.
const CLOCK_REWINDS_WITHIN: Duration = Duration::from_secs(60);

/// The delays between the runs of a source. The first is short, for a camera that hiccups. The longest is bearable for a
/// technician at the camera. Jitter spreads the cameras of a site that lost its power.
const RESTART: BackoffPolicy = BackoffPolicy {
    immediate: false,
    first: Duration::from_millis(500),
    max: Duration::from_secs(15),
    jitter: (0.5, 1.0),
    healthy: Duration::from_secs(10),
};

/// How sources are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How FFmpeg is started.
    pub launcher: Launcher,
    /// How H.264 is encoded.
    pub encoding: Encoding,
    /// The bit rate of `low` at its maximum size, in kbit/s.
    pub low_kbps: u32,
    /// How long the source keeps running without subscribers.
    pub idle_timeout: Duration,
    /// How long a source may send nothing before it counts as dead.
    pub silence: Duration,
    /// How many transcodes run at once.
    pub transcodes: TranscodeLimiter,
}

impl Settings {
    /// The settings of `config`, within `limits`. `relay` is this program, see [`Launcher::relay`].
    pub fn new(config: &Config, relay: Option<PathBuf>, limits: LiveLimits) -> Self {
        Self {
            launcher: Launcher { ffmpeg: config.ffmpeg.clone(), relay, limits: limits.clone() },
            encoding: config.encoding.clone(),
            low_kbps: config.low_kbps,
            idle_timeout: config.linger,
            silence: config.silence,
            transcodes: TranscodeLimiter::new(limits),
        }
    }
}

/// Where a rendition's fragments come from.
#[derive(Debug, Clone)]
enum Input {
    /// FFmpeg or the relay reads the source; its audio goes into the audio buffer.
    Source(Source, Arc<AudioBuffer>, Arc<SourceReader>),
    /// FFmpeg reads what this rendition publishes.
    Rendition(Arc<Rendition>),
    /// FFmpeg reads the audio buffer, which the source of this rendition fills.
    Audio(Arc<Rendition>, Arc<AudioBuffer>, AudioOutput),
}

impl Input {
    /// What decides who reads it, where it is a source.
    fn reader_policy(&self) -> Option<(ReaderPolicy, Arc<SourceReader>)> {
        match self {
            Self::Source(source, _, reader) => Some((ReaderPolicy::new(source), reader.clone())),
            Self::Rendition(_) | Self::Audio(..) => None,
        }
    }

    /// Whether it runs without subscribers, too.
    fn keeps_running(&self) -> bool {
        matches!(self, Self::Source(source, ..) if source.keep_running)
    }
}

/// A stream's ingest: starts the tasks of its renditions, which end after `shutdown` with their FFmpegs.
pub fn start(
    stream: &Stream,
    source: &Source,
    settings: &Arc<Settings>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let copy = stream.rendition(Variant::Copy);
    let amend = source.amend_sps;
    let with_audio = source.audio != Audio::Off;
    stream.audio_buffer().reset(with_audio);
    for rendition in stream.renditions() {
        let input = match (rendition.variant(), source.of_sub()) {
            (Variant::Copy, _) => Input::Source(source.clone(), stream.audio_buffer().clone(), stream.reader().clone()),
            (Variant::Low, Some(sub)) => Input::Source(sub, Arc::default(), Arc::default()),
            (Variant::H264 | Variant::Low, _) => Input::Rendition(copy.clone()),
        };
        let rendition = rendition.clone();
        tasks.spawn(keep_supervised(rendition, input, amend, settings.clone(), shutdown.clone()));
    }
    stream.audio_buffer().set_encoded(source.audio == Audio::Aac);
    for form in AudioForm::ALL.into_iter().filter(|_| with_audio) {
        let output = AudioOutput { form, encode: source.audio == Audio::Aac };
        let input = Input::Audio(copy.clone(), stream.audio_buffer().clone(), output);
        tasks.spawn(keep_supervised(stream.audio(form).clone(), input, amend, settings.clone(), shutdown.clone()));
    }
}

/// Runs [`supervise`] and, should it panic, runs it again: a bug that one camera brings out is no reason for its
/// viewers to wait for ever.
async fn keep_supervised(
    rendition: Arc<Rendition>,
    input: Input,
    amend: bool,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
) {
    let again = Duration::from_secs(1);
    loop {
        let task = supervise(rendition.clone(), input.clone(), amend, settings.clone(), shutdown.clone());
        match tokio::spawn(task).await {
            Ok(()) => return,
            Err(panic) => {
                error!(rendition = rendition.label(), %panic, "the source task panicked; restarting it");
                let message = "an internal error; the log has the details";
                rendition.fail(offline(OfflineReason::Failed, message, again));
                sleep(again).await;
            }
        }
    }
}

async fn supervise(
    rendition: Arc<Rendition>,
    input: Input,
    amend: bool,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::new(RESTART);
    let mut order = FrameOrder::new(amend);
    let mut subscribers = rendition.subscribers();
    let keeps_running = input.keeps_running();
    let mut policy = input.reader_policy();
    let mut rewinds = 0;
    let mut last_failure = None;
    if let Some((_, shown)) = &policy {
        // The source may be another one than before.
        shown.set(None);
    }
    loop {
        tokio::select! {
            _ = subscribers.wait_for(|subscribers| subscribers.any() || keeps_running) => {}
            () = shutdown.cancelled() => return,
        }
        let started = Instant::now();
        let run = Run { rendition: &rendition, settings: &settings, arrival_times: rewinds >= CLOCK_REWINDS };
        let idle_timeout = (!keeps_running).then_some(settings.idle_timeout);
        let idle = idle(&rendition, idle_timeout, &shutdown);
        // Held while it runs.
        let permit = match &input {
            Input::Rendition(_) => transcode_permit(&rendition, &settings).map(Some),
            Input::Source(..) | Input::Audio(..) => Ok(None),
        };
        let refused_clients = permit.as_ref().err().and_then(|refusal| refusal.clients.clone());
        let choice = match &mut policy {
            Some((policy, shown)) => {
                let choice = policy.choose(started);
                shown.set(Some(current_reader(choice)));
                choice
            }
            None => SelectedReader::Ffmpeg(None),
        };
        let by_ffmpeg = choice != SelectedReader::Direct;
        let outcome = match &permit {
            Ok(_) => run.run(&input, choice, &mut order, idle).await,
            Err(refusal) => RunOutcome::Failed {
                reason: OfflineReason::Failed,
                message: refusal.message.clone(),
                played: Duration::ZERO,
            },
        };
        drop(permit);
        order.end_epoch();
        if let Some((policy, _)) = policy.as_mut().filter(|_| by_ffmpeg) {
            policy.ffmpeg_ended(had_video(&outcome, &rendition), Instant::now());
        }
        let outcome = match (outcome, &mut policy) {
            (RunOutcome::Unsupported { unsupported, played }, Some((policy, _))) => {
                warn!(
                    rendition = rendition.label(),
                    cause = unsupported.cause.label(),
                    "the relay cannot read the camera itself: {unsupported}"
                );
                match policy.unsupported(unsupported, played, Instant::now()) {
                    UnsupportedAction::Fallback => RunOutcome::Fallback,
                    UnsupportedAction::Fail(reason, message) => RunOutcome::Failed { reason, message, played },
                }
            }
            (RunOutcome::ClockRewind { played }, _) => {
                // A camera that sets its clock now and then counts right.
                rewinds = if played < CLOCK_REWINDS_WITHIN { rewinds + 1 } else { 1 };
                if rewinds == CLOCK_REWINDS {
                    info!(rendition = rendition.label(), "{CLOCK_WRONG}");
                    RunOutcome::InputChanged
                } else {
                    RunOutcome::Failed { reason: OfflineReason::Ended, message: CLOCK_REWIND.to_owned(), played }
                }
            }
            (outcome, _) => outcome,
        };
        match outcome {
            RunOutcome::Idle => {
                rendition.stop(Status::Idle);
                backoff.reset();
                info!(rendition = rendition.label(), "stopped: no subscribers");
            }
            RunOutcome::AudioRefused => {
                warn!(
                    rendition = rendition.label(),
                    "FFmpeg cannot copy this source's audio; continuing without audio (audio = \"off\" avoids the attempt)"
                );
                if let Input::Source(_, audio_buffer, _) = &input {
                    audio_buffer.refuse();
                }
                rendition.stop(Status::Starting);
            }
            RunOutcome::Fallback => {
                info!(rendition = rendition.label(), "FFmpeg reads the camera instead");
                rendition.stop(Status::Starting);
            }
            // The new epoch, or the state of the rendition this one is made from, is taken up by the next run. Only a source is
            // unsupported, and then its policy has decided.
            RunOutcome::InputChanged | RunOutcome::Unsupported { .. } | RunOutcome::ClockRewind { .. } => {
                rendition.stop(Status::Starting);
            }
            RunOutcome::Failed { reason, message, played } => {
                let wait = backoff.after(played, rand::rng().random());
                // A source that is kept running fails for as long as its camera is away.
                let is_news = subscribers.borrow().any() || last_failure.as_deref() != Some(&*message);
                if is_news {
                    warn!(
                        rendition = rendition.label(),
                        ?reason,
                        ran_s = started.elapsed().as_secs(),
                        retry_in_ms = wait.as_millis(),
                        "{message}"
                    );
                }
                last_failure = Some(message.clone());
                let status = offline(reason, &message, wait);
                if let Some(clients) = refused_clients {
                    if !rendition.refuse(clients, status) {
                        continue;
                    }
                } else {
                    rendition.fail(status);
                }
                tokio::select! {
                    () = sleep(wait) => {}
                    () = refusal_ended(&rendition) => {}
                    () = shutdown.cancelled() => return,
                }
                // The next viewer sees a source that is being started, and not an old failure.
                if !subscribers.borrow().any() && !keeps_running {
                    rendition.set_status(Status::Idle);
                }
            }
        }
        if shutdown.is_cancelled() {
            return;
        }
    }
}

/// Why an encoder may not run.
struct TranscodeRefusal {
    message: String,
    /// The clients that have their share, if others may start the encoder.
    clients: Option<BTreeSet<Option<IpAddr>>>,
}

/// The permit for an encoder.
fn transcode_permit(rendition: &Rendition, settings: &Settings) -> Result<Permit, TranscodeRefusal> {
    rendition.clear_refusal();
    let clients = rendition.clients().borrow().all();
    settings.transcodes.acquire(&clients).map_err(|refused| TranscodeRefusal {
        message: refused.to_string(),
        clients: matches!(refused, TooManyTranscodes::Client { .. }).then_some(clients),
    })
}

/// Returns when a client watches for which the encoder was not refused. Pending if it was refused for no client.
async fn refusal_ended(rendition: &Rendition) {
    let mut clients = rendition.clients();
    if !clients.borrow().are_refused() {
        return std::future::pending().await;
    }
    // The sender lives in the rendition: it does not fail.
    let _ = clients.wait_for(|clients| !clients.are_refused()).await;
}

/// As the catalogue shows it.
fn current_reader(choice: SelectedReader<'_>) -> CurrentReader {
    match choice {
        SelectedReader::Direct => CurrentReader { name: ReaderName::Direct, fallback: None },
        SelectedReader::Ffmpeg(reason) => {
            let fallback =
                reason.map(|reason| Fallback { cause: reason.cause.label(), message: reason.message.clone() });
            CurrentReader { name: ReaderName::Ffmpeg, fallback }
        }
    }
}

/// Whether the run that ended with `outcome`, and that `rendition` still shows, had video.
fn had_video(outcome: &RunOutcome, rendition: &Rendition) -> bool {
    match outcome {
        RunOutcome::Failed { played, .. } => !played.is_zero(),
        _ => rendition.status() == Status::Live,
    }
}

fn offline(reason: OfflineReason, message: &str, wait: Duration) -> Status {
    Status::Offline { reason, message: message.into(), retry_at: Instant::now() + wait }
}

/// Returns when `rendition` has had no subscriber for `idle_timeout`.
pub(crate) async fn unsubscribed(rendition: &Rendition, idle_timeout: Duration) {
    let mut subscribers = rendition.subscribers();
    loop {
        // The sender lives in the rendition: these do not fail.
        let _ = subscribers.wait_for(|subscribers| !subscribers.any()).await;
        if timeout(idle_timeout, subscribers.wait_for(|subscribers| subscribers.any())).await.is_err() {
            return;
        }
    }
}

/// The same, or on shutdown; without a timeout on shutdown only.
async fn idle(rendition: &Rendition, idle_timeout: Option<Duration>, shutdown: &CancellationToken) {
    let unsubscribed = async {
        match idle_timeout {
            Some(idle_timeout) => unsubscribed(rendition, idle_timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = unsubscribed => {}
        () = shutdown.cancelled() => {}
    }
}
