//! One run of FFmpeg, or of the reader in its place: what goes in, what comes out, and how it ended.

use std::future::Future;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::Variant;
use tokio::process::ChildStdin;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::audio::{self, Intake};
use super::diagnosis::{Diagnosis, diagnose};
use super::feed::Feed;
use super::ffmpeg::light::Light;
use super::order::Order;
use super::output::{Capture, Output, Stopped};
use super::process::Child;
use super::source::{Audio, Reader, Source, SourceUrl};
use super::stderr::{self, Findings};
use super::{Input, Settings, direct, ffmpeg};
use crate::fmp4::capture::{SetBack, SourceClock};
use crate::fmp4::init::{InitError, InitSegment};
use crate::hub::rendition::{Event, Purpose, Rendition, Status, Subscription};
use crate::hub::ring::Step;
use crate::hub::tap::Tap;

/// FFmpeg's last words arrive with its end; a grandchild that keeps the pipe open must not hold us.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Numbers the runs of sources, whose timelines have nothing to do with each other.
static TIMELINES: AtomicU32 = AtomicU32::new(1);

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody holds the rendition any more.
    Released,
    /// What it was made from began a new epoch or went offline.
    InputChanged,
    /// FFmpeg could not copy the source's audio, and gave up the picture with it.
    AudioRefused,
    /// The relay cannot read the source itself.
    NotDirectly {
        /// Why not.
        why: String,
        /// Whether that is how the camera is, not what it just said.
        lasting: bool,
    },
    /// It ended or had to be ended.
    Failed {
        /// The kind of failure.
        reason: OfflineReason,
        /// What is wrong and what to do about it.
        message: String,
        /// How long there was a picture.
        played: Duration,
    },
}

/// See the [module](self).
pub(super) struct Attempt<'a> {
    pub(super) rendition: &'a Arc<Rendition>,
    pub(super) settings: &'a Settings,
}

impl Attempt<'_> {
    /// Runs FFmpeg on `input` until it ends or `released` does.
    pub(super) async fn run(&self, input: &Input, order: &mut Order, released: impl Future<Output = ()>) -> End {
        tokio::pin!(released);
        match input {
            Input::Source(source, _) if source.reader == Reader::Direct => {
                self.read_directly(source, order, released).await
            }
            Input::Source(source, tap) => self.read_source(source, tap, order, released).await,
            Input::Audio(copy, tap, encode) => {
                audio::run(self.rendition, self.settings, (copy, tap, *encode), released).await
            }
            Input::Rendition(from) => {
                let mut from = from.subscribe(Purpose::Transcode);
                let init = tokio::select! {
                    init = self.first_init(&mut from) => init,
                    () = &mut released => return End::Released,
                };
                self.rendition.set_status(Status::Starting);
                let light = self.rendition.variant() == Variant::Low;
                let light = init.size.filter(|_| light).map(|size| Light::of(size, self.settings.low_kbps));
                let feed = Arc::new(Feed::default());
                let start =
                    Start { args: ffmpeg::transcode(&self.settings.encoding, light), url: None, stdin: Stdio::piped() };
                let output = Output {
                    // Twice: the rendition it reads notices the silence first, and says so.
                    silence: self.settings.silence * 2,
                    ..self.output(Capture::Fed(feed.clone()), order, init.timeline)
                };
                self.run_ffmpeg(start, output, |stdin| async move { feed.run(stdin, init, from).await }, released).await
            }
        }
    }

    /// Reads the source itself: its picture into the rendition, its audio into `tap`.
    async fn read_source(
        &self,
        source: &Source,
        tap: &Tap,
        order: &mut Order,
        released: impl Future<Output = ()>,
    ) -> End {
        self.rendition.set_status(Status::Starting);
        let timeline = TIMELINES.fetch_add(1, Ordering::Relaxed);
        let tapped = source.audio != Audio::Off && !tap.is_refused();
        let (intake, stdin, audio_known) = match tapped.then(|| Intake::new(tap, timeline)).transpose() {
            Ok(Some((intake, stdin, known))) => (Some(intake), stdin, Some(known)),
            Ok(None) => (None, Stdio::null(), None),
            Err(error) => return failed(OfflineReason::Failed, format!("there is no pipe for FFmpeg: {error}"), None),
        };
        let args = ffmpeg::read_source(source, self.settings.silence, &self.settings.encoding, tapped);
        let start = Start { args, url: Some(&source.url), stdin };
        let capture = Capture::Source(SourceClock::new(ffmpeg::hold(source)), SetBack::default());
        let output = Output { audio_known, ..self.output(capture, order, timeline) };
        let listen = |_| async {
            match intake {
                Some(intake) => intake.read().await,
                None => std::future::pending().await,
            }
        };
        self.run_ffmpeg(start, output, listen, released).await
    }

    /// Reads the source's picture without FFmpeg.
    async fn read_directly(&self, source: &Source, order: &mut Order, released: impl Future<Output = ()>) -> End {
        self.rendition.set_status(Status::Starting);
        let timeline = TIMELINES.fetch_add(1, Ordering::Relaxed);
        let mut output = self.output(Capture::Known(0.0), order, timeline);
        info!(rendition = %self.rendition, "connecting to the camera");
        let stopped = tokio::select! {
            stopped = direct::read(source, &mut output) => stopped,
            () = released => return End::Released,
        };
        let played = output.first.map(|first| first.elapsed());
        match stopped {
            Stopped::Beyond(why) => End::NotDirectly { why, lasting: true },
            // What is not understood before there was a picture may be understood by FFmpeg.
            Stopped::Rtsp(said) if played.is_none() && diagnose(&said).is_none() => {
                End::NotDirectly { why: format!("the camera is not understood: {said}"), lasting: false }
            }
            stopped => {
                let Diagnosis { reason, message } = explain(stopped, Findings::default(), played.is_some());
                failed(reason, message, played)
            }
        }
    }

    fn output<'b>(&'b self, capture: Capture, order: &'b mut Order, timeline: u32) -> Output<'b> {
        Output {
            rendition: self.rendition,
            silence: self.settings.silence,
            capture,
            order,
            timeline,
            audio_known: None,
            first: None,
            timescale: 1.0,
        }
    }

    /// Waits for the epoch of the rendition to be transcoded, and shows its state as our own meanwhile.
    async fn first_init(&self, from: &mut Subscription) -> Arc<InitSegment> {
        let mut status = from.current_status();
        loop {
            match status {
                Status::Idle => self.rendition.set_status(Status::Starting),
                Status::Live => {}
                other => self.rendition.set_status(other),
            }
            status = loop {
                match from.event().await {
                    Event::Step(Step::Init(init)) => return init,
                    Event::Step(_) => {}
                    Event::Status(status) => break status,
                }
            };
        }
    }

    async fn run_ffmpeg<Feed: Future<Output = ()>>(
        &self,
        start: Start<'_>,
        mut output: Output<'_>,
        feed: impl FnOnce(Option<ChildStdin>) -> Feed,
        released: impl Future<Output = ()>,
    ) -> End {
        let mut child = match self.settings.launcher.start(&start.args, start.stdin) {
            Ok(child) => child,
            Err(error) => return failed(OfflineReason::Failed, format!("FFmpeg cannot be started: {error}"), None),
        };
        info!(rendition = %self.rendition, pid = child.id(), "FFmpeg started");
        let (stdin, stdout, stderr) = child.pipes();
        let findings = tokio::spawn(stderr::read(stderr, self.rendition.clone(), start.url.cloned()));
        let end = tokio::select! {
            stopped = output.read(stdout) => Err(stopped),
            () = feed(stdin) => Ok(End::InputChanged),
            () = released => Ok(End::Released),
        };
        finish(child, findings, end, output.first).await
    }
}

/// How an FFmpeg is started.
struct Start<'a> {
    args: Vec<String>,
    /// The source's address, where FFmpeg knows it.
    url: Option<&'a SourceUrl>,
    stdin: Stdio,
}

async fn finish(
    child: Child,
    findings: tokio::task::JoinHandle<Findings>,
    end: Result<End, Stopped>,
    first: Option<Instant>,
) -> End {
    let played_until = Instant::now();
    if end.is_ok() {
        // What FFmpeg has to say of being stopped is of no interest.
        findings.abort();
    }
    child.stop().await;
    let findings = timeout(LAST_WORDS, findings).await.ok().and_then(Result::ok).unwrap_or_default();
    let stopped = match end {
        Ok(end) => return end,
        Err(stopped) => stopped,
    };
    if findings.audio_refused && first.is_none() {
        return End::AudioRefused;
    }
    let Diagnosis { reason, message } = explain(stopped, findings, first.is_some());
    failed(reason, message, first.map(|first| played_until - first))
}

fn failed(reason: OfflineReason, message: String, played: Option<Duration>) -> End {
    End::Failed { reason, message, played: played.unwrap_or_default() }
}

/// What the person is told. What FFmpeg said counts most, then what was seen of its output.
fn explain(stopped: Stopped, findings: Findings, played: bool) -> Diagnosis {
    let new = |reason, message: String| Diagnosis { reason, message };
    match stopped {
        Stopped::Init(InitError::UnsupportedCodec(_)) => Diagnosis::unsupported(),
        Stopped::Init(InitError::WrongKind(_)) => {
            new(OfflineReason::NoVideo, "the source has no video; choose one that has".into())
        }
        Stopped::Init(error) => new(OfflineReason::Failed, error.to_string()),
        Stopped::Split(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        Stopped::Fragment(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        Stopped::SetBack => new(OfflineReason::Ended, "the camera's clock was set back; reading it anew".into()),
        Stopped::Silent(limit) => new(
            OfflineReason::Silent,
            format!("the source sent no picture for {} s; check the camera", limit.as_secs_f32().ceil()),
        ),
        Stopped::Rtsp(said) => match diagnose(&said).filter(|_| !played) {
            Some(diagnosis) => diagnosis,
            None => new(OfflineReason::Ended, "the source ended; check that it is switched on".into()),
        },
        Stopped::Beyond(why) => new(OfflineReason::Failed, why),
        Stopped::Ended => match (findings.diagnosis, findings.last_line) {
            // What FFmpeg complained of while it played did not end it.
            (Some(diagnosis), _) if !played => diagnosis,
            _ if played => new(OfflineReason::Ended, "the source ended; check that it is switched on".into()),
            (_, Some(line)) => new(OfflineReason::Failed, format!("FFmpeg ended without a picture: {line}")),
            _ => new(OfflineReason::Failed, "FFmpeg ended without a picture".into()),
        },
    }
}
