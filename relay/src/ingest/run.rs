//! One run of FFmpeg, or of the reader in its place: what goes in, what comes out, and how it ended.

use std::borrow::Cow;
use std::future::Future;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sightline_media::fmp4::capture::{ClockRewind, SourceClock};
use sightline_media::fmp4::init::{InitError, InitSegment};
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::Variant;
use tokio::process::ChildStdin;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::audio::{self, AudioIntake};
use super::confinement::Confinement;
use super::diagnosis::{Diagnosis, ENDED, FILE_ENDED, diagnose};
use super::encoder_input::EncoderInput;
use super::ffmpeg::SourceOptions;
use super::ffmpeg::low::LowVariant;
use super::frame_order::FrameOrder;
use super::outcome::{RunOutcome, STDERR_GRACE};
use super::process::Child;
use super::publisher::{CaptureTime, Publisher, StopReason};
use super::reader::{Cause, SelectedReader};
use super::source_guard::SourceGuard;
use super::stderr::{self, StderrFindings};
use super::{Input, Settings, ffmpeg, rtsp};
use crate::config::{RtspTransport, Source, SourceUrl};
use crate::hub::audio_buffer::AudioBuffer;
use crate::hub::rendition::{Event, Purpose, Rendition, Status, Subscription};
use crate::hub::ring::Step;

/// The number of the next run of a source. Timelines of different runs are unrelated.
static TIMELINES: AtomicU32 = AtomicU32::new(1);

/// The sentence after a clock that was set back.
pub(super) const CLOCK_REWIND: &str = "the camera's clock was set back; restarting the source";

/// See the [module](self).
pub(super) struct Run<'a> {
    pub(super) rendition: &'a Arc<Rendition>,
    pub(super) settings: &'a Settings,
    /// Whether FFmpeg goes by arrival times, see [`RunOutcome::ClockRewind`].
    pub(super) arrival_times: bool,
}

impl Run<'_> {
    /// Runs FFmpeg on `input`, or the direct reader where that is the `choice`, until it ends or `idle` does.
    pub(super) async fn run(
        &self,
        input: &Input,
        choice: SelectedReader<'_>,
        order: &mut FrameOrder,
        idle: impl Future<Output = ()>,
    ) -> RunOutcome {
        tokio::pin!(idle);
        match input {
            Input::Source(source, audio_buffer, _) if choice == SelectedReader::Direct => {
                self.read_directly(source, audio_buffer, order, idle).await
            }
            Input::Source(source, audio_buffer, _) => {
                let mut source = Cow::Borrowed(source);
                if matches!(choice, SelectedReader::Ffmpeg(Some(reason)) if reason.cause == Cause::UdpOnly) {
                    source.to_mut().rtsp_transport = RtspTransport::Udp;
                }
                self.read_source(&source, audio_buffer, order, idle).await
            }
            Input::Audio(copy, audio_buffer, output) => {
                audio::run(self.rendition, self.settings, (copy, audio_buffer, *output), idle).await
            }
            Input::Rendition(from) => {
                let mut from = from.subscribe(Purpose::Transcode);
                let init = tokio::select! {
                    init = self.first_init(&mut from) => init,
                    () = &mut idle => return RunOutcome::Idle,
                };
                self.rendition.set_status(Status::Starting);
                let is_low = self.rendition.variant() == Variant::Low;
                let low = init.size.filter(|_| is_low).map(|size| LowVariant::of(size, self.settings.low_kbps));
                let feed = Arc::new(EncoderInput::default());
                let start = FfmpegStart {
                    args: ffmpeg::transcode(&self.settings.encoding, low),
                    url: None,
                    guard: SourceGuard::None,
                    confinement: Confinement::of_pipes(Some(&self.settings.encoding)),
                    stdin: Stdio::piped(),
                };
                let publisher = Publisher {
                    // Twice: the rendition it reads notices the silence first, and says so.
                    silence: self.settings.silence * 2,
                    ..self.publisher(order, init.timeline)
                };
                let capture = CaptureTime::Encoder(feed.clone());
                let feed = |stdin| async move { feed.run(stdin, init, from).await };
                self.run_ffmpeg(start, (publisher, capture), feed, idle).await
            }
        }
    }

    /// Reads the source itself: its video into the rendition, its audio into `audio_buffer`.
    async fn read_source(
        &self,
        source: &Source,
        audio_buffer: &AudioBuffer,
        order: &mut FrameOrder,
        idle: impl Future<Output = ()>,
    ) -> RunOutcome {
        let timeline = self.begin_source();
        tokio::pin!(idle);
        let guard = tokio::select! {
            guard = SourceGuard::open(source, self.settings.silence) => guard,
            () = &mut idle => return RunOutcome::Idle,
        };
        let guard = match guard {
            Ok(guard) => guard,
            Err(said) => return stopped(StopReason::Rtsp(said), StderrFindings::default(), None),
        };
        let with_audio = audio::is_wanted(source, audio_buffer);
        let (intake, stdin, audio_known) =
            match with_audio.then(|| AudioIntake::new(audio_buffer, timeline)).transpose() {
                Ok(Some((intake, stdin, known))) => (Some(intake), stdin, Some(known)),
                Ok(None) => (None, Stdio::null(), None),
                Err(error) => {
                    return RunOutcome::failed(
                        OfflineReason::Failed,
                        format!("there is no pipe for FFmpeg: {error}"),
                        None,
                    );
                }
            };
        let options =
            SourceOptions { audio: with_audio, arrival_times: self.arrival_times, is_live: source.url.is_named_pipe() };
        let url = guard.url();
        let url = url.as_ref().unwrap_or(&source.url);
        let args = ffmpeg::read_source(source, url, self.settings.silence, &self.settings.encoding, options);
        let confinement = Confinement::of_source(source, &self.settings.encoding, guard.network());
        let start = FfmpegStart { args, url: Some(&source.url), guard, confinement, stdin };
        let capture = CaptureTime::Source(SourceClock::new(ffmpeg::hold(source)), ClockRewind::default());
        let publisher = Publisher { audio_known, ..self.publisher(order, timeline) };
        let listen = |_| async {
            match intake {
                Some(intake) => intake.read().await,
                None => std::future::pending().await,
            }
        };
        self.run_ffmpeg(start, (publisher, capture), listen, idle).await
    }

    /// Reads the source without FFmpeg: its video into the rendition, its audio into `audio_buffer`.
    async fn read_directly(
        &self,
        source: &Source,
        audio_buffer: &AudioBuffer,
        order: &mut FrameOrder,
        idle: impl Future<Output = ()>,
    ) -> RunOutcome {
        let timeline = self.begin_source();
        let mut publisher = self.publisher(order, timeline);
        info!(rendition = self.rendition.label(), "connecting to the camera");
        let reason = tokio::select! {
            reason = rtsp::read(source, audio_buffer, &mut publisher) => reason,
            () = idle => return RunOutcome::Idle,
        };
        let played = publisher.first.map(|first| first.elapsed());
        if let StopReason::Rtsp(said) = &reason {
            info!(rendition = self.rendition.label(), "the connection to the camera ended: {said}");
        }
        match reason {
            StopReason::Unsupported(unsupported) => {
                RunOutcome::Unsupported { unsupported, played: played.unwrap_or_default() }
            }
            reason => stopped(reason, StderrFindings::default(), played),
        }
    }

    /// Shows that the source is being started. Returns the number of the run's timeline.
    fn begin_source(&self) -> u32 {
        self.rendition.set_status(Status::Starting);
        TIMELINES.fetch_add(1, Ordering::Relaxed)
    }

    fn publisher<'b>(&'b self, order: &'b mut FrameOrder, timeline: u32) -> Publisher<'b> {
        Publisher {
            rendition: self.rendition,
            silence: self.settings.silence,
            order,
            timeline,
            audio_known: None,
            first: None,
            timescale: 1.0,
            init: Bytes::new(),
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

    async fn run_ffmpeg<Feeding: Future<Output = ()>>(
        &self,
        start: FfmpegStart<'_>,
        (mut publisher, capture): (Publisher<'_>, CaptureTime),
        feed: impl FnOnce(Option<ChildStdin>) -> Feeding,
        idle: impl Future<Output = ()>,
    ) -> RunOutcome {
        let mut child = match self.settings.launcher.start(&start.args, &start.confinement, start.stdin) {
            Ok(child) => child,
            Err(error) => {
                return RunOutcome::failed(OfflineReason::Failed, format!("FFmpeg cannot be started: {error}"), None);
            }
        };
        info!(rendition = self.rendition.label(), pid = child.id(), "FFmpeg started");
        let (stdin, stdout, stderr) = child.pipes();
        let findings = tokio::spawn(stderr::read(stderr, self.rendition.clone(), start.url.cloned()));
        let end = tokio::select! {
            stopped = publisher.read(stdout, capture) => Err(stopped),
            stopped = start.guard.refused() => Err(stopped),
            () = feed(stdin) => Ok(RunOutcome::InputChanged),
            () = idle => Ok(RunOutcome::Idle),
        };
        finish(child, findings, end, publisher.first, &start.guard).await
    }
}

/// How an FFmpeg is started.
struct FfmpegStart<'a> {
    args: Vec<String>,
    /// The source's address, where FFmpeg knows it.
    url: Option<&'a SourceUrl>,
    guard: SourceGuard,
    confinement: Confinement,
    stdin: Stdio,
}

async fn finish(
    child: Child,
    findings: tokio::task::JoinHandle<StderrFindings>,
    end: Result<RunOutcome, StopReason>,
    first: Option<Instant>,
    guard: &SourceGuard,
) -> RunOutcome {
    let played_until = Instant::now();
    if end.is_ok() {
        // What FFmpeg has to say of being stopped is of no interest.
        findings.abort();
    }
    child.stop().await;
    let findings = timeout(STDERR_GRACE, findings).await.ok().and_then(Result::ok).unwrap_or_default();
    let reason = match end {
        Ok(end) => return end,
        Err(reason) => reason,
    };
    if findings.audio_refused && first.is_none() {
        return RunOutcome::AudioRefused;
    }
    let played = first.map(|first| played_until - first);
    if matches!(reason, StopReason::ClockRewind) {
        return RunOutcome::ClockRewind { played: played.unwrap_or_default() };
    }
    match guard.diagnosis(first.is_some()) {
        Some(Diagnosis { reason, message }) => RunOutcome::failed(reason, message, played),
        None => stopped(reason, findings, played),
    }
}

/// The outcome of a source that stopped for this reason.
fn stopped(reason: StopReason, findings: StderrFindings, played: Option<Duration>) -> RunOutcome {
    let Diagnosis { reason, message } = explain(reason, findings, played.is_some());
    RunOutcome::failed(reason, message, played)
}

/// Returns the message for people. FFmpeg's own error counts most, then the state of its output.
fn explain(stopped: StopReason, findings: StderrFindings, played: bool) -> Diagnosis {
    let new = |reason, message: String| Diagnosis { reason, message };
    match stopped {
        StopReason::Init(InitError::UnsupportedCodec(_)) => Diagnosis::unsupported(),
        StopReason::Init(InitError::WrongKind(_)) => {
            new(OfflineReason::NoVideo, "the source has no video; choose one that has".into())
        }
        StopReason::Init(error) => new(OfflineReason::Failed, error.to_string()),
        StopReason::Demux(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        StopReason::Fragment(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        StopReason::ClockRewind => new(OfflineReason::Ended, CLOCK_REWIND.into()),
        StopReason::Silent(limit) => new(
            OfflineReason::Silent,
            format!("the source sent no video for {} s; check the camera", limit.as_secs_f32().ceil()),
        ),
        StopReason::Rtsp(said) if !played => {
            diagnose(&said).unwrap_or_else(|| new(OfflineReason::Failed, format!("the camera cannot be read: {said}")))
        }
        StopReason::Refused(sentence) => new(OfflineReason::Failed, sentence),
        StopReason::Rtsp(_) => new(OfflineReason::Ended, ENDED.into()),
        StopReason::Unsupported(unsupported) => new(OfflineReason::Failed, unsupported.message),
        StopReason::Ended => match (findings.diagnosis, findings.last_line) {
            // What FFmpeg complained of while it played did not end it.
            (Some(diagnosis), _) if !played || diagnosis.is_fatal() => diagnosis,
            _ if played && findings.is_file => new(OfflineReason::Ended, FILE_ENDED.into()),
            _ if played => new(OfflineReason::Ended, ENDED.into()),
            (_, Some(line)) => new(OfflineReason::Failed, format!("FFmpeg ended without video: {line}")),
            _ => new(OfflineReason::Failed, "FFmpeg ended without video".into()),
        },
    }
}
