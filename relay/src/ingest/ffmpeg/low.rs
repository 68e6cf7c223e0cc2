//! The low variant of a stream: its frame size, bit rate and frame rate.

use sightline_protocol::message::Size;

/// Upper bounds of the long and the short side of the low variant: what a phone shows, and a quarter of the pixels of 720p.
const BOX: (u32, u32) = (640, 360);
/// A source that is small itself is halved, but not below this width: people and cars can still be told apart.
const WIDTH_MIN: u32 = 320;
/// Seconds between two frames of the low variant, at least: of 50 or 60 a second every other one is left out, of 30 none.
/// A lower frame rate would save work and headers but delay every frame: FFmpeg writes a fragment when the next frame arrives.
const FRAME_SECONDS: f64 = 0.03;
/// How much the encoder may run ahead of its bit rate, in milliseconds. A key frame is several frames' worth of bits, and on a
/// link that is just fast enough it takes this long.
const BURST_MS: u32 = 400;

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowVariant {
    /// Its size; even, as H.264 with 4:2:0 chroma has to be.
    pub size: Size,
    /// Its bit rate, in thousands a second.
    pub kbps: u32,
}

impl LowVariant {
    /// The low variant of a source of this size, where one as wide as the box gets `kbps`.
    pub fn of(source: Size, kbps: u32) -> Self {
        let (width, height) = (u32::from(source.width).max(2), u32::from(source.height).max(2));
        let scale = into_box(width, height).min(halved(width));
        let side = |length: u32| ((f64::from(length) * scale / 2.0).round() as u16 * 2).max(2);
        let size = Size { width: side(width), height: side(height) };
        // In proportion to the long side: half the width is a quarter of the pixels, which compress half as well.
        let long = u32::from(size.width.max(size.height)).min(BOX.0);
        Self { size, kbps: (kbps * long / BOX.0).max(1) }
    }

    /// The filters that make it.
    pub(super) fn filters(self) -> String {
        let Size { width, height } = self.size;
        // Not FFmpeg's `fps`, which holds a frame back to see whether a better one comes.
        format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t,{FRAME_SECONDS})',scale={width}:{height}")
    }

    /// The encoder's buffer (Annex C of H.264), in thousands of bits.
    pub(super) fn buffer_kbit(self) -> u32 {
        (self.kbps * BURST_MS / 1000).max(1)
    }
}

/// The factor by which a frame fits into the box, lying or standing.
fn into_box(width: u32, height: u32) -> f64 {
    let (long, short) = (width.max(height), width.min(height));
    (f64::from(BOX.0) / f64::from(long)).min(f64::from(BOX.1) / f64::from(short))
}

/// The factor that halves a frame, as far as its width allows.
fn halved(width: u32) -> f64 {
    (f64::from(WIDTH_MIN) / f64::from(width)).clamp(0.5, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_variant_fits_the_box_and_the_source() {
        for ((width, height), (low_width, low_height), kbps) in [
            ((1920, 1080), (640, 360), 400),
            ((3840, 2160), (640, 360), 400),
            ((2592, 1944), (480, 360), 300),
            ((1080, 1920), (360, 640), 400),
            ((640, 360), (320, 180), 200),
            ((704, 576), (352, 288), 220),
            ((352, 288), (320, 262), 200),
            ((320, 240), (320, 240), 200),
            ((162, 121), (162, 122), 101),
        ] {
            let low = LowVariant::of(Size { width, height }, 400);
            let expected = LowVariant { size: Size { width: low_width, height: low_height }, kbps };
            assert_eq!(low, expected, "of {width}x{height}");
        }
    }
}
