//! Publishes frames into a rendition: fragmented MP4 from FFmpeg's standard output, or fragments that the RTSP reader made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::capture::{ClockRewind, SourceClock};
use sightline_media::fmp4::decoder_config;
use sightline_media::fmp4::demuxer::{DemuxError, Demuxer, Segment};
use sightline_media::fmp4::init::{InitError, InitSegment};
use sightline_protocol::fragment::{FragmentError, FragmentHead, NtpTime};
use sightline_protocol::message::TrackKind;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::diagnosis::TOO_LARGE;
use super::encoder_input::EncoderInput;
use super::ffmpeg::PIXELS_MAX;
use super::frame_order::{FrameOrder, Publish};
use super::reader::Unsupported;
use crate::clock;
use crate::hub::rendition::Rendition;

/// What a source gets for its first fragment: connecting, and then the wait for a key frame, which some cameras send
/// every ten seconds only.
pub(super) const FIRST_FRAGMENT: Duration = Duration::from_secs(20);
/// FFmpeg writes the heads of both outputs before the first frame, so the audio's description comes with the init segment, on
/// another pipe. Viewers receive it with the first frame. The relay does not wait longer than this for it.
const AUDIO_FORMAT_WAIT: Duration = Duration::from_millis(100);
/// Read from the pipe at a time: the capacity of a pipe (pipe(7)).
pub(super) const READ: usize = 64 * 1024;

/// Why a source ended.
#[derive(Debug)]
pub(super) enum StopReason {
    Ended,
    Silent(Duration),
    Init(InitError),
    Demux(DemuxError),
    Fragment(FragmentError),
    /// The source's clock was set back.
    ClockRewind,
    /// The error of a source that the relay reads itself.
    Rtsp(String),
    /// The camera was refused, with this sentence.
    Refused(String),
    /// The direct reader does not support the source.
    Unsupported(Unsupported),
}

/// The source of capture times for FFmpeg's output.
pub(super) enum CaptureTime {
    /// FFmpeg reads the source.
    Source(SourceClock, ClockRewind),
    /// FFmpeg encodes the frames of this input.
    Encoder(Arc<EncoderInput>),
}

impl CaptureTime {
    /// When the frame of this fragment, which FFmpeg has just written, was captured.
    fn stamp(&mut self, head: &FragmentHead, timescale: f64) -> Option<NtpTime> {
        let start = head.decode_time as f64 / timescale;
        match self {
            Self::Source(clock, _) => {
                let duration = head.duration as f64 / timescale;
                Some(clock.stamp(start, duration, clock::now().as_secs_f64()))
            }
            Self::Encoder(input) => input.stamp(start),
        }
        .map(NtpTime::from_unix)
    }

    /// Whether the source has to be restarted because its clock was set back.
    fn is_rewound(&mut self, head: &FragmentHead, timescale: f64) -> bool {
        match self {
            Self::Source(_, rewind) => rewind.frame(head.duration as f64 / timescale),
            Self::Encoder(_) => false,
        }
    }
}

/// See the [module](self).
pub(super) struct Publisher<'a> {
    pub(super) rendition: &'a Rendition,
    pub(super) silence: Duration,
    pub(super) order: &'a mut FrameOrder,
    /// Which timeline of the source its decode times are on.
    pub(super) timeline: u32,
    /// Resolves once it is known what audio the source has, where that is to be found out.
    pub(super) audio_known: Option<oneshot::Receiver<()>>,
    /// When the first fragment came.
    pub(super) first: Option<Instant>,
    /// Ticks a second of the present epoch.
    pub(super) timescale: f64,
    /// The present init segment, as FFmpeg or the direct reader wrote it.
    pub(super) init: Bytes,
}

impl Publisher<'_> {
    /// Reads FFmpeg's output until there is a reason to stop.
    pub(super) async fn read(&mut self, mut stdout: ChildStdout, mut capture: CaptureTime) -> StopReason {
        let mut demuxer = Demuxer::default();
        loop {
            let limit = if self.first.is_some() { self.silence } else { self.silence.max(FIRST_FRAGMENT) };
            demuxer.buffer().reserve(READ);
            match timeout(limit, stdout.read_buf(demuxer.buffer())).await {
                Err(_) => return StopReason::Silent(limit),
                Ok(Ok(0) | Err(_)) => return StopReason::Ended,
                Ok(Ok(_)) => {}
            }
            if let Some(known) = self.audio_known.take() {
                let _ = timeout(AUDIO_FORMAT_WAIT, known).await;
            }
            loop {
                let published = match demuxer.next_segment() {
                    Ok(Some(segment)) => self.publish(segment, &mut capture),
                    Ok(None) => break,
                    Err(error) => Err(StopReason::Demux(error)),
                };
                if let Err(stopped) = published {
                    return stopped;
                }
            }
        }
    }

    fn publish(&mut self, segment: Segment, capture: &mut CaptureTime) -> Result<(), StopReason> {
        match segment {
            Segment::Init(bytes) => self.publish_init(bytes),
            Segment::Fragment(bytes) => {
                let captured = |head: &FragmentHead| capture.stamp(head, self.timescale);
                let fragment = Fragment::parse(bytes, captured).map_err(StopReason::Fragment)?;
                if capture.is_rewound(&fragment.head, self.timescale) {
                    return Err(StopReason::ClockRewind);
                }
                if let Some(init) = self.resized(&fragment) {
                    self.publish_init(init)?;
                }
                self.publish_fragment(fragment);
                Ok(())
            }
        }
    }

    /// The init segment for the frames from this key frame on, if the camera has changed their size.
    fn resized(&self, fragment: &Fragment) -> Option<Bytes> {
        let access_unit = fragment.access_units().next().filter(|_| fragment.head.keyframe)?;
        decoder_config::resized(&self.init, access_unit).map(Bytes::from)
    }

    /// Publishes what follows from the next init segment.
    pub(super) fn publish_init(&mut self, bytes: Bytes) -> Result<(), StopReason> {
        self.init = bytes.clone();
        let init = InitSegment::parse(bytes, TrackKind::Video, self.timeline).map_err(StopReason::Init)?;
        if init.size.is_some_and(|size| u64::from(size.width) * u64::from(size.height) > PIXELS_MAX) {
            return Err(StopReason::Refused(TOO_LARGE.to_owned()));
        }
        self.timescale = f64::from(init.timescale.max(1));
        let publish = self.order.push_init(init);
        self.publish_all(publish);
        Ok(())
    }

    /// Publishes what follows from the next frame.
    pub(super) fn publish_fragment(&mut self, fragment: Fragment) {
        // By `-copyinkf`, FFmpeg passes frames before the first key frame on, as a sign of life.
        if self.first.is_none() && !fragment.head.keyframe {
            return self.await_key_frame();
        }
        self.first.get_or_insert_with(Instant::now);
        self.rendition.set_awaits_key_frame(false);
        let publish = self.order.push_fragment(fragment);
        self.publish_all(publish);
    }

    /// A frame has come that cannot be decoded without an earlier one.
    pub(super) fn await_key_frame(&self) {
        if self.rendition.set_awaits_key_frame(true) {
            info!(
                rendition = self.rendition.label(),
                "the camera sends video; it can be shown from its next key frame on"
            );
        }
    }

    fn publish_all(&self, publish: Vec<Publish>) {
        for publish in publish {
            match publish {
                Publish::Epoch(init) => {
                    let (codec, reordering) = (&init.codec, init.reordering);
                    let size = init.size.map(tracing::field::display);
                    info!(rendition = self.rendition.label(), %codec, size, ?reordering, "new epoch");
                    self.rendition.start_epoch(init);
                }
                Publish::Fragment(fragment) => self.rendition.publish(fragment, clock::unix_ms()),
            }
        }
    }
}
