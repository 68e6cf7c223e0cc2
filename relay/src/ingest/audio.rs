//! A source's audio: out of the FFmpeg that reads the source, and through another into the form that browsers play.
//!
//! The FFmpeg that reads the source writes its audio beside the picture, copied and unexamined, into a pipe that has the
//! place of its standard input: of the three descriptors that a process is given it is the one that FFmpeg has no use
//! for, and a pipe leaves nothing behind, whatever ends either side. [`Intake`] reads it into the [`Tap`], always: an
//! FFmpeg that cannot write its audio does not write its picture either.
//!
//! While somebody listens, a second FFmpeg reads the tap and writes fragments ([`run`]). Nobody else pays for it, what is
//! wrong with the audio does not touch the picture, and codecs need not be known before the source is opened.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use sightline_protocol::message::{OfflineReason, TrackKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::attempt::{End, LAST_WORDS};
use super::output::READ;
use super::{Settings, ffmpeg, stderr};
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;
use crate::fmp4::splitter::{self, Splitter};
use crate::hub::rendition::{Purpose, Rendition, Status};
use crate::hub::tap::{Listener, Tap};
use crate::nut;

/// The relay's end of the pipe that carries a source's audio. Dropping it ends the run of the tap.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    pipe: pipe::Receiver,
    tap: &'a Tap,
    timeline: u32,
    /// Tells that the tap has been told what audio there is.
    known: Option<oneshot::Sender<()>>,
}

impl<'a> Intake<'a> {
    /// A pipe into `tap`, for a run on that timeline, its other end for FFmpeg, and what resolves once the tap has been
    /// told what audio there is.
    pub(super) fn new(tap: &'a Tap, timeline: u32) -> io::Result<(Self, Stdio, oneshot::Receiver<()>)> {
        let (sender, pipe) = pipe::pipe()?;
        let (known, when_known) = oneshot::channel();
        Ok((Self { pipe, tap, timeline, known: Some(known) }, sender.into_blocking_fd()?.into(), when_known))
    }

    /// Reads for as long as it is polled.
    pub(super) async fn read(mut self) {
        let mut splitter = nut::Splitter::default();
        loop {
            splitter.buffer().reserve(READ);
            match self.pipe.read_buf(splitter.buffer()).await {
                // How FFmpeg ends shows at its other output.
                Ok(0) | Err(_) => return std::future::pending().await,
                Ok(_) => {}
            }
            if let Err(error) = self.take(&mut splitter) {
                warn!(%error, "the audio that FFmpeg copied cannot be read");
                self.tap.end();
                return self.discard().await;
            }
        }
    }

    fn take(&mut self, splitter: &mut nut::Splitter) -> Result<(), nut::NutError> {
        while let Some(unit) = splitter.next_unit()? {
            match unit {
                nut::Unit::Audio(audio) => {
                    self.tap.describe(audio);
                    drop(self.known.take());
                }
                nut::Unit::Head(head) => self.tap.begin(self.timeline, head),
                nut::Unit::Media { bytes, sync } => self.tap.push(bytes, sync),
            }
        }
        Ok(())
    }

    async fn discard(&mut self) {
        let mut unread = vec![0; READ];
        while self.pipe.read(&mut unread).await.is_ok_and(|length| length > 0) {}
        std::future::pending::<()>().await;
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        self.tap.end();
    }
}

/// Brings the audio of `tap`, which the source of `copy` fills, into `rendition`, until it ends or `released` does.
pub(super) async fn run(
    rendition: &Arc<Rendition>,
    settings: &Settings,
    (copy, tap, encode): (&Arc<Rendition>, &Arc<Tap>, bool),
    released: impl Future<Output = ()>,
) -> End {
    tokio::pin!(released);
    rendition.set_status(Status::Starting);
    let _source = copy.subscribe(Purpose::Transcode);
    let listener = tokio::select! {
        listener = tap.listen() => listener,
        () = &mut released => return End::Released,
    };
    let args = ffmpeg::audio::convert(&listener.run().audio, encode);
    let mut child = match settings.launcher.start(&args, Stdio::piped()) {
        Ok(child) => child,
        Err(error) => return failed(format!("FFmpeg cannot be started: {error}"), None),
    };
    info!(%rendition, pid = child.id(), source = %listener.run().audio.codec, "FFmpeg started");
    let (stdin, stdout, stderr) = child.pipes();
    let findings = tokio::spawn(stderr::read(stderr, rendition.clone(), None));
    let mut output = Output { rendition, timeline: listener.run().timeline, first: None };
    let end = tokio::select! {
        why = output.read(stdout) => Err(why),
        () = feed(stdin, listener) => Ok(End::InputChanged),
        () = released => Ok(End::Released),
    };
    let first = output.first;
    child.stop().await;
    match end {
        Ok(end) => {
            findings.abort();
            end
        }
        Err(why) => {
            let said = timeout(LAST_WORDS, findings).await.ok().and_then(Result::ok).and_then(|all| all.last_line);
            failed(format!("the audio cannot be played: {}", said.unwrap_or(why)), first)
        }
    }
}

fn failed(message: String, first: Option<Instant>) -> End {
    let played = first.map(|first| first.elapsed()).unwrap_or_default();
    End::Failed { reason: OfflineReason::Failed, message, played }
}

/// Writes what `listener` hears to FFmpeg's standard input. Ends when the run does; an FFmpeg that no longer reads shows
/// by its output.
async fn feed(stdin: Option<ChildStdin>, mut listener: Listener) {
    let fed = async {
        let mut stdin = stdin?;
        let head = listener.run().head.clone();
        for start in [head, Bytes::from_static(&nut::GAP)] {
            stdin.write_all(&start).await.ok()?;
        }
        while let Some(bytes) = listener.next().await {
            stdin.write_all(&bytes).await.ok()?;
        }
        Some(())
    };
    if fed.await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// FFmpeg's standard output, on its way into the rendition. It may be silent for as long as the source's microphone is.
struct Output<'a> {
    rendition: &'a Rendition,
    timeline: u32,
    /// When the first fragment came.
    first: Option<Instant>,
}

impl Output<'_> {
    /// Reads to the end, and says why that is.
    async fn read(&mut self, mut stdout: ChildStdout) -> String {
        let mut splitter = Splitter::default();
        loop {
            splitter.buffer().reserve(READ);
            match stdout.read_buf(splitter.buffer()).await {
                Ok(0) | Err(_) => return "FFmpeg ended".to_owned(),
                Ok(_) => {}
            }
            if let Err(why) = self.publish(&mut splitter) {
                return why;
            }
        }
    }

    fn publish(&mut self, splitter: &mut Splitter) -> Result<(), String> {
        while let Some(unit) = splitter.next_unit().map_err(|error| error.to_string())? {
            match unit {
                splitter::Unit::Init(bytes) => {
                    let init = InitSegment::parse(bytes, TrackKind::Audio, self.timeline);
                    let init = init.map_err(|error| error.to_string())?;
                    info!(rendition = %self.rendition, codec = %init.codec, timescale = init.timescale, "new epoch");
                    self.rendition.start_epoch(init);
                }
                splitter::Unit::Fragment(bytes) => {
                    let fragment = Fragment::parse(bytes, |_| None).map_err(|error| error.to_string())?;
                    self.rendition.publish(fragment);
                    self.first.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(())
    }
}
