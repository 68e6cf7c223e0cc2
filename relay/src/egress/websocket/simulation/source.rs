//! What publishes into the rings: a camera, and an encoder that makes a light picture of what it sends.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::Size;

use crate::fmp4::Fragment;
use crate::fmp4::init::{InitSegment, PictureOrder, TrackCodec};
use crate::hub::ring::{Limits, Ring};

/// All media is a piece of this.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; 4 << 20]));

/// What a camera sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Camera {
    pub(super) kbps: u64,
    /// Between frames, in milliseconds.
    pub(super) frame: u64,
    /// Frames in a GOP.
    pub(super) gop: u64,
    /// Its key frame in sizes of its other frames.
    pub(super) key: u64,
}

impl Camera {
    /// 25 frames and a key frame a second, that one as large as eight others: what the test camera sends.
    pub(super) fn new(kbps: u64) -> Self {
        Self { kbps, frame: 40, gop: 25, key: 8 }
    }

    fn bytes(self, number: u64) -> usize {
        let other = self.kbps * self.frame * self.gop / 8 / (self.gop - 1 + self.key);
        (if number.is_multiple_of(self.gop) { other * self.key } else { other }) as usize
    }
}

/// The encoder of the light picture: as measured with FFmpeg.
const LIGHT: Camera = Camera { kbps: 212, frame: 40, gop: 25, key: 4 };
/// From the first hold to the first frame: FFmpeg starts, reads, encodes.
const COLD_START: u64 = 400;
/// From a frame of the camera to its light one: decoder, encoder, and the muxer that waits for the next.
const LIGHT_DELAY: u64 = 60;

/// Both renditions of a stream.
pub(super) struct Source {
    camera: Camera,
    pub(super) full: Ring,
    pub(super) light: Ring,
    /// When somebody first held the light one.
    held: Option<u64>,
    /// The light frames published.
    light_frames: u64,
}

impl Source {
    pub(super) fn new(camera: Camera) -> Self {
        let mut full = Ring::new(Limits::default());
        full.start_epoch(init());
        Self { camera, full, light: Ring::new(Limits::default()), held: None, light_frames: 0 }
    }

    /// Somebody wants the light picture.
    pub(super) fn hold_light(&mut self, now: u64) {
        self.held.get_or_insert(now);
    }

    /// Publishes what is due at `now`. A decode time is the millisecond of the capture.
    pub(super) fn step(&mut self, now: u64) {
        if now.is_multiple_of(self.camera.frame) {
            let number = now / self.camera.frame;
            self.full.push(fragment(now, number.is_multiple_of(self.camera.gop), self.camera.bytes(number)));
        }
        let Some(held) = self.held.filter(|held| now >= held + COLD_START) else { return };
        if self.light_frames == 0 {
            self.light.start_epoch(init());
        }
        // It begins with the key frame that was the newest when it was held, and catches up at once.
        let gop = self.camera.frame * self.camera.gop;
        loop {
            let captured = held / gop * gop + self.light_frames * LIGHT.frame;
            if captured + LIGHT_DELAY > now {
                return;
            }
            let keyframe = self.light_frames.is_multiple_of(LIGHT.gop);
            self.light.push(fragment(captured, keyframe, LIGHT.bytes(self.light_frames)));
            self.light_frames += 1;
        }
    }
}

fn init() -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: ZEROS.slice(..700),
        codec: TrackCodec::Video(VideoCodec::Avc { profile: 66, constraints: 0, level: 30 }),
        timescale: 1000,
        order: PictureOrder::default(),
        size: Some(Size { width: 16, height: 16 }),
        timeline: 1,
    })
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
    Fragment { bytes: ZEROS[..bytes].into(), head }
}
