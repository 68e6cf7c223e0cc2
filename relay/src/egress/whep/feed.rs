//! What one viewer is sent: the epochs and pictures of the variant that fits, out of the ring.
//!
//! A feed begins with `copy`, because what the camera sends decides; it holds one [`Subscription`] and nothing that waits.

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::GapReason;
use sightline_protocol::stream::{Variant, VariantChoice};
use tracing::debug;

use super::annex_b;
use super::rtp_time::{CLOCK_RATE, to_90_khz};
use crate::egress::select::{CameraFormat, select};
use crate::fmp4::Fragment;
use crate::fmp4::decoder_config::DecoderConfig;
use crate::fmp4::init::{InitSegment, PictureOrder};
use crate::fmp4::samples::Samples;
use crate::hub::Stream;
use crate::hub::rendition::{Event, Purpose, Status, Subscription, Way};
use crate::hub::ring::Step;

/// A viewer that is so far behind goes on with the newest key frame.
const TOLERATED_LAG: Duration = Duration::from_secs(1);

/// What comes next.
#[derive(Debug)]
pub(super) enum Media {
    /// Pictures of this codec follow, on a timeline that is new or, where they are sent again, the `same`.
    Epoch { codec: VideoCodec, same: bool },
    /// A picture, and what follows it in the same fragment, which is nothing with FFmpeg.
    Pictures(Vec<Picture>),
}

/// A picture. Times are in ticks of 90 kHz.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// As a byte stream.
    pub(super) bytes: Vec<u8>,
    pub(super) keyframe: bool,
    /// When it is shown, on the media's timeline.
    pub(super) time: i64,
    /// How much media waits behind it.
    pub(super) lag: i64,
}

#[derive(Debug)]
struct Epoch {
    init: Arc<InitSegment>,
    config: DecoderConfig,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Feed {
    stream: Stream,
    choice: VariantChoice,
    playable: Vec<VideoCodec>,
    source: Subscription,
    epoch: Option<Epoch>,
}

impl Feed {
    /// For a viewer who plays `playable`. The source starts now.
    pub(super) fn new(stream: Stream, choice: VariantChoice, playable: Vec<VideoCodec>) -> Self {
        let source = stream.rendition(Variant::Copy).subscribe(Purpose::View(Way::WebRtc));
        let choice = match choice {
            // What the camera sends, wherever that plays, is what the relay would choose.
            VariantChoice::Copy => VariantChoice::Auto,
            VariantChoice::Low if !stream.has_low() => VariantChoice::Auto,
            other => other,
        };
        Self { stream, choice, playable, source, epoch: None }
    }

    /// Why there is no picture, where the source has failed.
    pub(super) fn failure(&mut self) -> Option<Arc<str>> {
        match self.source.current_status() {
            Status::Offline { message, .. } => Some(message),
            Status::Idle | Status::Starting | Status::Live => None,
        }
    }

    /// Whether it is known what is sent.
    pub(super) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    /// Begins again with the newest key frame.
    pub(super) fn rewind(&mut self) {
        self.source.rewind();
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Media {
        loop {
            match self.source.event().await {
                Event::Step(Step::Init(init)) => {
                    if let Some(epoch) = self.begin(init) {
                        return epoch;
                    }
                }
                Event::Step(Step::Fragment(fragment)) => {
                    let lag = self.source.lag();
                    self.source.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
                    if let Some(pictures) = self.pictures(&fragment, lag) {
                        return Media::Pictures(pictures);
                    }
                }
                // What follows is a key frame; or there is nothing yet, and the viewer's last picture stays.
                Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
            }
        }
    }

    /// Takes up an epoch, or moves on to the variant that fits what the camera sends in it.
    fn begin(&mut self, init: Arc<InitSegment>) -> Option<Media> {
        let codec = init.video_codec()?.clone();
        if self.source.rendition().variant() == Variant::Copy {
            let b_frames = init.order == PictureOrder::Reordered;
            let (variant, _) = select(self.choice, &self.playable, &CameraFormat { codec: codec.clone(), b_frames });
            if variant != Variant::Copy {
                self.source = self.stream.rendition(variant).subscribe(Purpose::View(Way::WebRtc));
                return None;
            }
        }
        let same = self.epoch.as_ref().is_some_and(|epoch| Arc::ptr_eq(&epoch.init, &init));
        let Some(config) = DecoderConfig::find(&init.bytes) else {
            debug!(rendition = %self.source.rendition(), "an epoch without a decoder configuration is passed over");
            return None;
        };
        self.epoch = Some(Epoch { init, config });
        Some(Media::Epoch { codec, same })
    }

    fn pictures(&self, fragment: &Fragment, lag: Duration) -> Option<Vec<Picture>> {
        let Epoch { init, config } = self.epoch.as_ref()?;
        let head = &fragment.head;
        let units: Vec<_> = Samples::find(&fragment.bytes)?.access_units().collect();
        let lag = (lag.as_secs_f64() * CLOCK_RATE as f64) as i64;
        let time = |index: usize| {
            let later = head.duration * index as u64 / units.len().max(1) as u64;
            let decode_time = i64::try_from(head.decode_time + later).unwrap_or(i64::MAX);
            to_90_khz(decode_time.saturating_add(head.composition_offset), init.timescale)
        };
        let picture = |(index, unit): (usize, std::ops::Range<usize>)| {
            let keyframe = head.keyframe && index == 0;
            let sets = config.units(&init.bytes).filter(|_| keyframe);
            let bytes = annex_b::convert(config.layout, sets, &fragment.bytes[unit]);
            Picture { bytes, keyframe, time: time(index), lag }
        };
        Some(units.iter().cloned().enumerate().map(picture).collect())
    }
}

/// Waits until it is known whether a viewer without H.264 can be sent the camera's own picture, and says so; none where
/// the source does not tell.
pub(super) async fn camera_fits(stream: &Stream, playable: &[VideoCodec]) -> Option<bool> {
    let mut copy = stream.rendition(Variant::Copy).subscribe(Purpose::View(Way::WebRtc));
    loop {
        match copy.event().await {
            Event::Step(Step::Init(init)) => {
                let codec = init.video_codec()?.clone();
                let b_frames = init.order == PictureOrder::Reordered;
                let h265 = codec.family() == Family::H265;
                let (variant, _) = select(VariantChoice::Auto, playable, &CameraFormat { codec, b_frames });
                return Some(h265 && variant == Variant::Copy);
            }
            Event::Status(Status::Offline { .. }) => return None,
            Event::Step(_) | Event::Status(_) => {}
        }
    }
}
