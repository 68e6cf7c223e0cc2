//! A source's audio: from its reader, through an FFmpeg of its own, into the forms that browsers play.
//!
//! The direct reader writes into the [`AudioBuffer`] itself. An FFmpeg that reads the source copies the audio, whatever its
//! codec, into a pipe in place of its standard input. It needs no other input, and a pipe needs no clean-up. [`AudioIntake`]
//! always reads that pipe into the [`AudioBuffer`], because an FFmpeg that cannot write its audio stops writing video as well.
//!
//! While a viewer listens, an FFmpeg of the audio reads the audio buffer and writes fragments ([`run`]): one FFmpeg for each
//! [`AudioForm`](crate::hub::rendition::AudioForm) with a listener. So audio costs nothing without listeners, an audio failure does not affect video, and no codec has to be known before the source is opened.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::demuxer::{Demuxer, Segment};
use sightline_media::fmp4::init::InitSegment;
use sightline_media::nut;
use sightline_protocol::message::{OfflineReason, TrackKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::confinement::Confinement;
use super::ffmpeg::audio::AudioOutput;
use super::outcome::{RunOutcome, STDERR_GRACE};
use super::publisher::READ;
use super::{Settings, ffmpeg, stderr};
use crate::clock;
use crate::config::{Audio, Source};
use crate::hub::audio_buffer::{AudioBuffer, AudioListener};
use crate::hub::rendition::{Purpose, Rendition, Status};

/// Whether the reader of `source` fills `audio_buffer`: the configuration wants audio, and FFmpeg has not refused to copy it.
pub(super) fn is_wanted(source: &Source, audio_buffer: &AudioBuffer) -> bool {
    source.audio != Audio::Off && !audio_buffer.is_refused()
}

/// The relay's end of the pipe that carries a source's audio. Dropping it ends the run of the audio buffer.
#[derive(Debug)]
pub(super) struct AudioIntake<'a> {
    pipe: pipe::Receiver,
    audio_buffer: &'a AudioBuffer,
    timeline: u32,
    /// Tells that the audio buffer has been told what audio there is.
    known: Option<oneshot::Sender<()>>,
}

impl<'a> AudioIntake<'a> {
    /// Makes a pipe into `audio_buffer` for a run on that timeline. Returns it, its other end for FFmpeg, and what resolves
    /// once the audio buffer knows what audio there is.
    pub(super) fn new(
        audio_buffer: &'a AudioBuffer,
        timeline: u32,
    ) -> io::Result<(Self, Stdio, oneshot::Receiver<()>)> {
        let (sender, pipe) = pipe::pipe()?;
        let (known, when_known) = oneshot::channel();
        Ok((Self { pipe, audio_buffer, timeline, known: Some(known) }, sender.into_blocking_fd()?.into(), when_known))
    }

    /// Reads for as long as it is polled.
    pub(super) async fn read(mut self) {
        let mut demuxer = nut::NutDemuxer::default();
        loop {
            demuxer.buffer().reserve(READ);
            match self.pipe.read_buf(demuxer.buffer()).await {
                // How FFmpeg ends shows at its other output.
                Ok(0) | Err(_) => return std::future::pending().await,
                Ok(_) => {}
            }
            if let Err(error) = self.take(&mut demuxer) {
                warn!(%error, "the audio that FFmpeg copied cannot be read");
                self.audio_buffer.end();
                return self.discard().await;
            }
        }
    }

    fn take(&mut self, demuxer: &mut nut::NutDemuxer) -> Result<(), nut::NutError> {
        while let Some(chunk) = demuxer.next_chunk()? {
            match chunk {
                nut::NutChunk::Audio(audio) => {
                    self.audio_buffer.describe(audio);
                    drop(self.known.take());
                }
                nut::NutChunk::Head(head) => self.audio_buffer.begin(self.timeline, head),
                nut::NutChunk::Media { bytes, sync } => self.audio_buffer.push(bytes, sync),
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

impl Drop for AudioIntake<'_> {
    fn drop(&mut self) {
        self.audio_buffer.end();
    }
}

/// Brings the audio of `audio_buffer`, which the source of `copy` fills, into `rendition`, as this output, until it ends or `idle`
/// does.
pub(super) async fn run(
    rendition: &Arc<Rendition>,
    settings: &Settings,
    (copy, audio_buffer, output): (&Arc<Rendition>, &Arc<AudioBuffer>, AudioOutput),
    idle: impl Future<Output = ()>,
) -> RunOutcome {
    tokio::pin!(idle);
    rendition.set_status(Status::Starting);
    let _source = copy.subscribe(Purpose::Transcode);
    let listener = tokio::select! {
        listener = audio_buffer.listen() => listener,
        () = &mut idle => return RunOutcome::Idle,
    };
    let args = ffmpeg::audio::convert(&listener.run().audio, output);
    let mut child = match settings.launcher.start(&args, &Confinement::of_pipes(None), Stdio::piped()) {
        Ok(child) => child,
        Err(error) => {
            let message = format!("FFmpeg cannot be started: {error}");
            return RunOutcome::failed(OfflineReason::Failed, message, None);
        }
    };
    info!(rendition = rendition.label(), pid = child.id(), source = %listener.run().audio.codec, "FFmpeg started");
    let (stdin, stdout, stderr) = child.pipes();
    let findings = tokio::spawn(stderr::read(stderr, rendition.clone(), None));
    let mut publisher = AudioPublisher { rendition, timeline: listener.run().timeline, first: None };
    let end = tokio::select! {
        why = publisher.read(stdout) => Err(why),
        () = feed(stdin, listener) => Ok(RunOutcome::InputChanged),
        () = idle => Ok(RunOutcome::Idle),
    };
    let first = publisher.first;
    child.stop().await;
    match end {
        Ok(end) => {
            findings.abort();
            end
        }
        Err(why) => {
            let said = timeout(STDERR_GRACE, findings).await.ok().and_then(Result::ok).and_then(|all| all.last_line);
            let message = format!("the audio cannot be played: {}", said.unwrap_or(why));
            RunOutcome::failed(OfflineReason::Failed, message, first.map(|first| first.elapsed()))
        }
    }
}

/// Writes what `listener` hears to FFmpeg's standard input. Ends when the run does; an FFmpeg that no longer reads shows
/// by its output.
async fn feed(stdin: Option<ChildStdin>, mut listener: AudioListener) {
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
struct AudioPublisher<'a> {
    rendition: &'a Rendition,
    timeline: u32,
    /// When the first fragment came.
    first: Option<Instant>,
}

impl AudioPublisher<'_> {
    /// Reads to the end, and says why that is.
    async fn read(&mut self, mut stdout: ChildStdout) -> String {
        let mut demuxer = Demuxer::default();
        loop {
            demuxer.buffer().reserve(READ);
            match stdout.read_buf(demuxer.buffer()).await {
                Ok(0) | Err(_) => return "FFmpeg ended".to_owned(),
                Ok(_) => {}
            }
            if let Err(why) = self.publish(&mut demuxer) {
                return why;
            }
        }
    }

    fn publish(&mut self, demuxer: &mut Demuxer) -> Result<(), String> {
        while let Some(segment) = demuxer.next_segment().map_err(|error| error.to_string())? {
            match segment {
                Segment::Init(bytes) => {
                    let init = InitSegment::parse(bytes, TrackKind::Audio, self.timeline);
                    let init = init.map_err(|error| error.to_string())?;
                    info!(rendition = self.rendition.label(), codec = %init.codec, timescale = init.timescale, "new epoch");
                    self.rendition.start_epoch(init);
                }
                Segment::Fragment(bytes) => {
                    let fragment = Fragment::parse(bytes, |_| None).map_err(|error| error.to_string())?;
                    self.rendition.publish(fragment, clock::unix_ms());
                    self.first.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(())
    }
}
