//! Ingest: one FFmpeg for each rendition that somebody holds, however many hold it.
//!
//! For each rendition one task lives as long as the relay ([`supervise`]). It waits until somebody holds the rendition,
//! runs FFmpeg, publishes what it writes, restarts it when it ends or falls silent, and stops it when nobody has held
//! the rendition for a while. `copy` reads the source; `h264` and `low` read the fragments that `copy` publishes, as
//! a viewer does, so a camera sees one connection however many variants run. A source that says `reader = "direct"` is read
//! without FFmpeg ([`direct`]), for as long as the relay can. The source's audio comes out of the FFmpeg
//! that reads it, and is brought into form by one of its own ([`audio`]).

pub mod backoff;
pub mod diagnosis;
pub mod ffmpeg;
pub mod places;
pub mod process;
pub mod source;

mod attempt;
mod audio;
mod cadence;
mod direct;
mod feed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod order;
mod output;
mod stderr;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::Variant;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::hub::Stream;
use crate::hub::rendition::{Holders, Rendition, Status};
use crate::hub::tap::Tap;
use attempt::{Attempt, End};
use backoff::Backoff;
use ffmpeg::Encoding;
use order::Order;
use places::Places;
use process::Launcher;
use source::{Audio, Reader, Source};

/// How sources are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How FFmpeg is started.
    pub launcher: Launcher,
    /// How H.264 is encoded.
    pub encoding: Encoding,
    /// The bit rate of `low` where its picture is as large as it gets, in thousands a second.
    pub low_kbps: u32,
    /// How long FFmpeg runs on after the last viewer has left, for the one who comes back.
    pub linger: Duration,
    /// How long a source may send nothing before it counts as dead.
    pub silence: Duration,
    /// How many transcodes run at once.
    pub transcodes: Places,
}

/// Where a rendition's fragments come from.
#[derive(Debug, Clone)]
enum Input {
    /// FFmpeg reads the source, whose audio goes into the tap.
    Source(Source, Arc<Tap>),
    /// FFmpeg reads what this rendition publishes.
    Rendition(Arc<Rendition>),
    /// FFmpeg reads the tap, which the source of this rendition fills, and encodes what could be copied or does not.
    Audio(Arc<Rendition>, Arc<Tap>, bool),
}

impl Input {
    fn reader(&self) -> Reader {
        match self {
            Self::Source(source, _) => source.reader,
            Self::Rendition(_) | Self::Audio(..) => Reader::Ffmpeg,
        }
    }

    fn set_reader(&mut self, reader: Reader) {
        if let Self::Source(source, _) = self {
            source.reader = reader;
        }
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
    for rendition in stream.renditions() {
        let input = match rendition.variant() {
            Variant::Copy => Input::Source(source.clone(), stream.tap().clone()),
            Variant::H264 | Variant::Low => Input::Rendition(copy.clone()),
        };
        let rendition = rendition.clone();
        tasks.spawn(keep_supervised(rendition, input, amend, settings.clone(), shutdown.clone()));
    }
    if source.audio != Audio::Off {
        let input = Input::Audio(copy.clone(), stream.tap().clone(), source.audio == Audio::Aac);
        tasks.spawn(keep_supervised(stream.audio().clone(), input, amend, settings.clone(), shutdown.clone()));
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
                error!(%rendition, %panic, "the task that reads the source failed; starting it again");
                let message = "an internal error; the log has the details";
                rendition.fail(offline(OfflineReason::Failed, message, again));
                sleep(again).await;
            }
        }
    }
}

async fn supervise(
    rendition: Arc<Rendition>,
    mut input: Input,
    amend: bool,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    let mut order = Order::new(amend);
    let mut holders = rendition.holders();
    // What reads it, but for a run in another's place.
    let mut reader = input.reader();
    loop {
        tokio::select! {
            _ = holders.wait_for(|holders| holders.any()) => {}
            () = shutdown.cancelled() => return,
        }
        let started = Instant::now();
        let attempt = Attempt { rendition: &rendition, settings: &settings };
        let released = released(rendition.holders(), settings.linger, &shutdown);
        // Held while it runs.
        let place = match &input {
            Input::Rendition(_) => settings.transcodes.take().map(Some),
            Input::Source(..) | Input::Audio(..) => Ok(None),
        };
        let end = match &place {
            Ok(_) => attempt.run(&input, &mut order, released).await,
            Err(taken) => {
                End::Failed { reason: OfflineReason::Failed, message: taken.to_string(), played: Duration::ZERO }
            }
        };
        drop(place);
        match end {
            End::Released => {
                input.set_reader(reader);
                rendition.stop(Status::Idle);
                backoff = Backoff::default();
                info!(%rendition, "stopped: nobody watches");
            }
            End::AudioRefused => {
                warn!(%rendition, "FFmpeg cannot copy this source's audio; going on without (audio = \"off\" says so)");
                if let Input::Source(_, tap) = &input {
                    tap.refuse();
                }
                rendition.stop(Status::Starting);
            }
            End::NotDirectly { why, lasting } => {
                warn!(%rendition, "{why}; FFmpeg reads it instead (without reader = \"direct\" it does from the start)");
                if lasting {
                    reader = Reader::Ffmpeg;
                }
                input.set_reader(Reader::Ffmpeg);
                rendition.stop(Status::Starting);
            }
            // The new epoch, or the state of the rendition this one is made from, is taken up by the next attempt.
            End::InputChanged => rendition.stop(Status::Starting),
            End::Failed { reason, message, played } => {
                input.set_reader(reader);
                let wait = backoff.after(played, rand::rng().random());
                warn!(%rendition, ?reason, ran_s = started.elapsed().as_secs(), retry_in_ms = wait.as_millis(), "{message}");
                rendition.fail(offline(reason, &message, wait));
                tokio::select! {
                    () = sleep(wait) => {}
                    () = shutdown.cancelled() => return,
                }
                // Whoever comes next finds a source that is about to be tried, not one that failed a while ago.
                if !holders.borrow().any() {
                    rendition.set_status(Status::Idle);
                }
            }
        }
        if shutdown.is_cancelled() {
            return;
        }
    }
}

fn offline(reason: OfflineReason, message: &str, wait: Duration) -> Status {
    Status::Offline { reason, message: message.into(), retry_at: Instant::now() + wait }
}

/// Returns when nobody has held the rendition for `linger`, or on shutdown.
async fn released(mut holders: watch::Receiver<Holders>, linger: Duration, shutdown: &CancellationToken) {
    let unheld = async {
        loop {
            // The sender lives in the rendition, which the caller holds: these do not fail.
            let _ = holders.wait_for(|holders| !holders.any()).await;
            if timeout(linger, holders.wait_for(|holders| holders.any())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = unheld => {}
        () = shutdown.cancelled() => {}
    }
}
