//! A frame as JPEG: its form, and the command line that decodes it.

use super::{PIXELS_MAX, extend, global};

/// The form of a still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StillFormat {
    /// The largest width, in pixels. `None` is the video's.
    pub width: Option<u16>,
    /// From 1, the smallest file, to 100.
    pub quality: u8,
}

/// The best and the worst quantiser scale of FFmpeg's JPEG encoder.
const QUANTISERS: (u32, u32) = (2, 31);

impl StillFormat {
    fn quantiser(self) -> u32 {
        let worse = 100 - u32::from(self.quality.clamp(1, 100));
        QUANTISERS.0 + worse * (QUANTISERS.1 - QUANTISERS.0) / 99
    }
}

/// The arguments that turn `frames` frames of fragmented MP4 on standard input into a JPEG image of the last one.
pub(in crate::ingest) fn still(format: StillFormat, frames: usize) -> Vec<String> {
    let mut filters = vec![format!("select='gte(n,{})'", frames.saturating_sub(1))];
    filters.extend(format.width.map(|width| format!("scale='min({width},iw)':-2")));
    let mut args = global();
    extend(&mut args, ["-threads", "1", "-probesize", "32", "-analyzeduration", "0"]);
    extend(&mut args, ["-max_pixels", &PIXELS_MAX.to_string(), "-protocol_whitelist", "pipe"]);
    extend(&mut args, ["-f", "mp4", "-i", "pipe:0", "-map", "0:v:0", "-vf", &filters.join(",")]);
    extend(&mut args, ["-frames:v", "1", "-c:v", "mjpeg", "-q:v", &format.quantiser().to_string()]);
    extend(&mut args, ["-f", "image2pipe", "pipe:1"]);
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_the_quantiser() {
        let quantiser = |quality| StillFormat { width: None, quality }.quantiser();
        assert_eq!([100, 80, 1, 0].map(quantiser), [2, 7, 31, 31]);
    }
}
