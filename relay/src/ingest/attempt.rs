//! One run of FFmpeg: what goes in, what comes out, and how it ended.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::fragment::FragmentError;
use sightline_protocol::message::OfflineReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::diagnosis::Diagnosis;
use super::process::Child;
use super::stderr::{self, Findings};
use super::{Input, Settings, ffmpeg};
use crate::fmp4::Fragment;
use crate::fmp4::init::{InitError, InitSegment};
use crate::fmp4::splitter::{SplitError, Splitter, Unit};
use crate::hub::rendition::{Event, Purpose, Rendition, Status, Subscription};
use crate::hub::ring::Step;

/// What a source gets for its first fragment: connecting, and then the wait for a key frame, which some cameras send
/// every ten seconds only.
const FIRST_FRAGMENT: Duration = Duration::from_secs(20);
/// An encoder that is this far behind its source skips: its viewers cannot do it for it.
const TOLERATED_LAG: Duration = Duration::from_secs(1);
/// Read from the pipe at a time: the capacity of a pipe (pipe(7)).
const READ: usize = 64 * 1024;
/// FFmpeg's last words arrive with its end; a grandchild that keeps the pipe open must not hold us.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a run of FFmpeg ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody holds the rendition any more.
    Released,
    /// What it was made from began a new epoch or went offline.
    InputChanged,
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

/// Why the output of FFmpeg was not read any further.
#[derive(Debug)]
enum Stopped {
    Ended,
    Silent(Duration),
    Init(InitError),
    Split(SplitError),
    Fragment(FragmentError),
}

/// See the [module](self).
pub(super) struct Attempt<'a> {
    pub(super) rendition: &'a Arc<Rendition>,
    pub(super) settings: &'a Settings,
}

impl Attempt<'_> {
    /// Runs FFmpeg on `input` until it ends or `released` does.
    pub(super) async fn run(&self, input: &Input, released: impl Future<Output = ()>) -> End {
        tokio::pin!(released);
        match input {
            Input::Source(source) => {
                self.rendition.set_status(Status::Starting);
                let args = ffmpeg::read_source(source, self.settings.silence, &self.settings.encoding);
                self.run_ffmpeg(&args, Some(&source.url), self.settings.silence, |_| std::future::pending(), released)
                    .await
            }
            Input::Rendition(from) => {
                let mut from = from.subscribe(Purpose::Transcode);
                let init = tokio::select! {
                    init = self.first_init(&mut from) => init,
                    () = &mut released => return End::Released,
                };
                self.rendition.set_status(Status::Starting);
                let args = ffmpeg::transcode(&self.settings.encoding);
                // Twice: the rendition it reads notices the silence first, and says so.
                let silence = self.settings.silence * 2;
                self.run_ffmpeg(&args, None, silence, |stdin| feed(stdin, init, from), released).await
            }
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
        args: &[String],
        url: Option<&super::source::SourceUrl>,
        silence: Duration,
        feed: impl FnOnce(ChildStdin) -> Feed,
        released: impl Future<Output = ()>,
    ) -> End {
        let mut child = match self.settings.launcher.start(args) {
            Ok(child) => child,
            Err(error) => return failed(OfflineReason::Failed, format!("FFmpeg cannot be started: {error}"), None),
        };
        info!(rendition = %self.rendition, pid = child.id(), "FFmpeg started");
        let (stdin, stdout, stderr) = child.pipes();
        let findings = tokio::spawn(stderr::read(stderr, self.rendition.clone(), url.cloned()));
        let mut output = Output { rendition: self.rendition, silence, first: None };
        let end = tokio::select! {
            stopped = output.read(stdout) => Err(stopped),
            () = feed(stdin) => Ok(End::InputChanged),
            () = released => Ok(End::Released),
        };
        finish(child, findings, end, output.first).await
    }
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
        Stopped::Init(InitError::NotVideo) => {
            new(OfflineReason::NoVideo, "the source has no video; choose one that has".into())
        }
        Stopped::Init(error) => new(OfflineReason::Failed, error.to_string()),
        Stopped::Split(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        Stopped::Fragment(error) => new(OfflineReason::Failed, format!("what FFmpeg wrote cannot be read: {error}")),
        Stopped::Silent(limit) => new(
            OfflineReason::Silent,
            format!("the source sent no picture for {} s; check the camera", limit.as_secs_f32().ceil()),
        ),
        Stopped::Ended => match (findings.diagnosis, findings.last_line) {
            // What FFmpeg complained of while it played did not end it.
            (Some(diagnosis), _) if !played => diagnosis,
            _ if played => new(OfflineReason::Ended, "the source ended; check that it is switched on".into()),
            (_, Some(line)) => new(OfflineReason::Failed, format!("FFmpeg ended without a picture: {line}")),
            _ => new(OfflineReason::Failed, "FFmpeg ended without a picture".into()),
        },
    }
}

/// FFmpeg's standard output, on its way into the rendition.
struct Output<'a> {
    rendition: &'a Rendition,
    silence: Duration,
    /// When the first fragment came.
    first: Option<Instant>,
}

impl Output<'_> {
    async fn read(&mut self, mut stdout: ChildStdout) -> Stopped {
        let mut splitter = Splitter::default();
        loop {
            let limit = if self.first.is_some() { self.silence } else { self.silence.max(FIRST_FRAGMENT) };
            splitter.buffer().reserve(READ);
            match timeout(limit, stdout.read_buf(splitter.buffer())).await {
                Err(_) => return Stopped::Silent(limit),
                Ok(Ok(0) | Err(_)) => return Stopped::Ended,
                Ok(Ok(_)) => {}
            }
            if let Err(stopped) = self.publish(&mut splitter) {
                return stopped;
            }
        }
    }

    fn publish(&mut self, splitter: &mut Splitter) -> Result<(), Stopped> {
        while let Some(unit) = splitter.next_unit().map_err(Stopped::Split)? {
            match unit {
                Unit::Init(bytes) => {
                    let init = InitSegment::parse(bytes).map_err(Stopped::Init)?;
                    info!(rendition = %self.rendition, codec = %init.codec, size = %init.size, "new epoch");
                    self.rendition.start_epoch(init);
                }
                Unit::Fragment(bytes) => {
                    let fragment = Fragment::parse(bytes).map_err(Stopped::Fragment)?;
                    self.rendition.publish(fragment);
                    self.first.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(())
    }
}

/// Writes what `from` publishes to FFmpeg's standard input. Ends when that begins a new epoch or goes offline; an
/// FFmpeg that no longer reads shows by its output.
async fn feed(mut stdin: ChildStdin, init: Arc<InitSegment>, mut from: Subscription) {
    if stdin.write_all(&init.bytes).await.is_err() {
        return std::future::pending().await;
    }
    loop {
        match from.event().await {
            Event::Step(Step::Fragment(fragment)) => {
                if stdin.write_all(&fragment.bytes).await.is_err() {
                    return std::future::pending().await;
                }
                // An encoder that cannot keep up goes on with a key frame, as a viewer would.
                from.skip_if_behind(TOLERATED_LAG);
            }
            Event::Step(Step::Init(_)) | Event::Status(Status::Offline { .. }) => return,
            Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
        }
    }
}
