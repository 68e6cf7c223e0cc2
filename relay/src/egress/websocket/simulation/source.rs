//! Publishes to the rings: a camera, and an encoder that makes `low` of it.

use std::sync::LazyLock;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::{InitSegment, Reordering, TrackCodec};
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::Size;
use sightline_protocol::stream::{StreamName, Variant};

use crate::hub::ring::RingLimits;
use crate::hub::{Hub, Stream};

/// The codec of both renditions.
pub(super) const CODEC: VideoCodec = VideoCodec::Avc { profile: 66, constraints: 0, level: 30 };
/// All media is a slice of this.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; 4 << 20]));

/// The format of a camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimulatedCamera {
    pub(super) kbps: u64,
    /// Frame interval in milliseconds.
    pub(super) frame: u64,
    /// Frames per GOP.
    pub(super) gop: u64,
    /// Size of a key frame relative to the other frames.
    pub(super) key: u64,
}

impl SimulatedCamera {
    /// 25 frames per second and a key frame each second, as large as eight other frames: the test camera's format.
    pub(super) fn new(kbps: u64) -> Self {
        Self { kbps, frame: 40, gop: 25, key: 8 }
    }

    fn bytes(self, number: u64) -> usize {
        let other = self.kbps * self.frame * self.gop / 8 / (self.gop - 1 + self.key);
        (if number.is_multiple_of(self.gop) { other * self.key } else { other }) as usize
    }
}

/// The encoder of `low`, as measured with FFmpeg.
const LOW: SimulatedCamera = SimulatedCamera { kbps: 212, frame: 40, gop: 25, key: 4 };
/// Milliseconds from the first subscription to the first frame: FFmpeg starts, reads and encodes.
const COLD_START: u64 = 400;
/// Milliseconds from a camera's frame to its frame in `low`: decoder, encoder, and the muxer that waits for the next frame.
const LOW_DELAY: u64 = 60;

/// A stream, and what fills its renditions.
pub(super) struct SimulatedSource {
    camera: SimulatedCamera,
    pub(super) stream: Stream,
    /// The time of the first subscription to `low`.
    low_since: Option<u64>,
    /// Number of `low` frames published.
    low_frames: u64,
}

impl SimulatedSource {
    pub(super) fn new(camera: SimulatedCamera, has_low: bool) -> Self {
        let name: StreamName = "cam".parse().expect("a name");
        let stream = Hub::new([name.clone()], RingLimits::default(), has_low).stream(&name).expect("the stream");
        stream.rendition(Variant::Copy).start_epoch(init());
        Self { camera, stream, low_since: None, low_frames: 0 }
    }

    /// Publishes the frames that are due at `now`. Returns whether there were any. A decode time is the millisecond of the
    /// capture.
    pub(super) fn step(&mut self, now: u64) -> bool {
        let due = now.is_multiple_of(self.camera.frame);
        if due {
            let number = now / self.camera.frame;
            let frame = fragment(now, number.is_multiple_of(self.camera.gop), self.camera.bytes(number));
            self.stream.rendition(Variant::Copy).publish(frame, now as f64);
        }
        let low = self.stream.rendition(Variant::Low);
        if self.low_since.is_none() && low.subscribers().borrow().any() {
            self.low_since = Some(now);
        }
        let Some(since) = self.low_since.filter(|since| now >= since + COLD_START) else { return due };
        if self.low_frames == 0 {
            low.start_epoch(init());
        }
        // Starts with the key frame that was the newest at the subscription, and catches up at once.
        let gop = self.camera.frame * self.camera.gop;
        let before = self.low_frames;
        loop {
            let captured = since / gop * gop + self.low_frames * LOW.frame;
            if captured + LOW_DELAY > now {
                return due || self.low_frames > before;
            }
            let keyframe = self.low_frames.is_multiple_of(LOW.gop);
            low.publish(fragment(captured, keyframe, LOW.bytes(self.low_frames)), now as f64);
            self.low_frames += 1;
        }
    }
}

fn init() -> InitSegment {
    InitSegment {
        bytes: ZEROS.slice(..700),
        codec: TrackCodec::Video(CODEC),
        timescale: 1000,
        reordering: Reordering::default(),
        size: Some(Size { width: 16, height: 16 }),
        timeline: 1,
    }
}

fn fragment(captured: u64, keyframe: bool, bytes: usize) -> Fragment {
    let head = FragmentHead {
        track_id: 1,
        decode_time: captured,
        duration: 40,
        samples: 1,
        keyframe,
        composition_offset: 0,
        capture: None,
    };
    Fragment::new(&ZEROS[..bytes], head)
}
