//! The media of one viewer: what a [`VariantReader`] yields, in RTP's form. Holds no queue.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::decoder_config::DecoderConfig;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::{GapReason, Ready};
use sightline_protocol::stream::Variant;
use tracing::debug;

use super::annex_b;
use super::audio::{self, VideoTimeline};
use super::rtp_time::{CLOCK_RATE, to_90_khz};
use crate::egress::select::{CameraFormat, Choice, Wanted};
use crate::egress::variant_reader::{VariantReader, VideoEvent, first_variant};
use crate::hub::Stream;
use crate::hub::audio_buffer::AudioBuffer;
use crate::hub::rendition::{Event, Protocol, Status};
use crate::hub::ring::Step;

/// A viewer with a longer lag resumes at the newest key frame.
const TOLERATED_LAG: Duration = Duration::from_secs(1);

/// The next media.
#[derive(Debug)]
pub(super) enum Media {
    /// Frames of this codec follow, on this timeline. A replay repeats the `same` epoch.
    Epoch { codec: VideoCodec, timeline: VideoTimeline, same: bool },
    /// The frames of a fragment. FFmpeg and the relay write one frame per fragment.
    Frames(Vec<RtpFrame>),
}

/// A frame. Times are in ticks of 90 kHz.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RtpFrame {
    /// The access unit as a byte stream.
    pub(super) bytes: Vec<u8>,
    pub(super) keyframe: bool,
    /// The presentation time on the media's timeline.
    pub(super) time: i64,
    /// The duration of media in the ring after this frame.
    pub(super) lag: i64,
}

#[derive(Debug)]
struct SentEpoch {
    init: Arc<InitSegment>,
    config: DecoderConfig,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct FrameReader {
    video: VariantReader,
    epoch: Option<SentEpoch>,
    /// The stream's audio, if the viewer may get it.
    audio: Option<Arc<AudioBuffer>>,
}

impl FrameReader {
    /// A reader for a viewer that plays `playable`. Starts the source.
    pub(super) fn new(stream: Stream, choice: Choice, playable: Vec<VideoCodec>) -> Self {
        // WebRTC sends `copy` only to a viewer that plays it.
        let wanted = Wanted::Choice(choice.without_copy(), playable);
        let audio = audio::is_possible(&stream).then(|| stream.audio_buffer().clone());
        let first = stream.subscribe(first_variant(&stream, &wanted, None), Protocol::WebRtc);
        let video = VariantReader::new(stream, Protocol::WebRtc, first, wanted);
        Self { video, epoch: None, audio }
    }

    /// The variant that will be sent. `None` until the source runs and the camera's format is known.
    pub(super) fn expected_variant(&self) -> Option<Variant> {
        self.video.expected_variant()
    }

    /// The message that announces the current epoch, as number `epoch` of the session.
    pub(super) fn ready(&self, epoch: u32) -> Option<Ready> {
        let SentEpoch { init, .. } = self.epoch.as_ref()?;
        let audio = self.audio.as_ref().is_some_and(|audio| audio.audio().is_some());
        Some(self.video.ready(init, epoch, audio))
    }

    /// The failure of an offline source.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        match self.video.rendition().status() {
            Status::Offline { message, .. } => Some(message),
            Status::Idle | Status::Starting | Status::Live => None,
        }
    }

    /// Whether the first epoch has started.
    pub(super) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    /// Restarts with the newest key frame.
    pub(super) fn rewind(&mut self) {
        self.video.rewind();
    }

    /// The next media. Cancel-safe.
    pub(super) async fn next(&mut self) -> Media {
        loop {
            match self.video.next(true).await {
                VideoEvent::Epoch(init) => {
                    if let Some(epoch) = self.begin(init) {
                        return epoch;
                    }
                }
                VideoEvent::Frame(fragment) => {
                    let lag = self.video.lag();
                    self.video.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
                    if let Some(frames) = self.frames(&fragment, lag) {
                        return Media::Frames(frames);
                    }
                }
                // A key frame follows. Until then, the viewer keeps its last frame.
                VideoEvent::Gap(_) | VideoEvent::Status(_) => {}
            }
        }
    }

    fn begin(&mut self, init: Arc<InitSegment>) -> Option<Media> {
        let codec = init.video_codec()?.clone();
        let same = self.epoch.as_ref().is_some_and(|epoch| Arc::ptr_eq(&epoch.init, &init));
        let Some(config) = DecoderConfig::find(&init.bytes) else {
            debug!(rendition = self.video.rendition().label(), "ignoring an epoch without a decoder configuration");
            return None;
        };
        let timeline = VideoTimeline { number: init.timeline, is_sub: self.video.is_sub() };
        self.epoch = Some(SentEpoch { init, config });
        Some(Media::Epoch { codec, timeline, same })
    }

    fn frames(&self, fragment: &Fragment, lag: Duration) -> Option<Vec<RtpFrame>> {
        let SentEpoch { init, config } = self.epoch.as_ref()?;
        let head = &fragment.head;
        let count = fragment.access_units().len().max(1) as u64;
        let lag = (lag.as_secs_f64() * CLOCK_RATE as f64) as i64;
        let time = |index: usize| {
            let decode_time = head.decode_time + head.duration * index as u64 / count;
            let decode_time = i64::try_from(decode_time).unwrap_or(i64::MAX);
            to_90_khz(decode_time.saturating_add(head.composition_offset), init.timescale)
        };
        let frame = |(index, unit): (usize, &[u8])| {
            let keyframe = head.keyframe && index == 0;
            let sets = config.units(&init.bytes).filter(|_| keyframe);
            RtpFrame { bytes: annex_b::convert(config.layout, sets, unit), keyframe, time: time(index), lag }
        };
        Some(fragment.access_units().enumerate().map(frame).collect())
    }
}

/// Waits for the camera's format. Returns whether a viewer without H.264 can be sent `copy`; `None` if the source fails.
pub(super) async fn camera_fits(stream: &Stream, playable: &[VideoCodec]) -> Option<bool> {
    let mut copy = stream.subscribe(Variant::Copy, Protocol::WebRtc);
    loop {
        match copy.event().await {
            Event::Step(Step::Init(init)) => {
                let camera = CameraFormat::of(&init)?;
                let (variant, _) = Wanted::Choice(Choice::default(), playable.to_vec()).select(&camera);
                return Some(camera.codec.family() == Family::H265 && variant == Variant::Copy);
            }
            Event::Status(Status::Offline { .. }) => return None,
            Event::Step(_) | Event::Status(_) => {}
        }
    }
}
