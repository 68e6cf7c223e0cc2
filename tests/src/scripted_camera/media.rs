//! The video that a scripted camera sends: H.264 that FFmpeg encodes once per test process.

use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::annex_b::{self, Unit, access_units, is_slice, unit_type};
use super::fields::as_fields;

/// A video. All but two have 320x240 pixels; no B-frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// 15 frames a second, a key frame every second.
    Plain,
    /// The same in four slices per frame.
    Slices,
    /// The same with a second PPS, which all frames but key frames use.
    TwoPps,
    /// The same with pixels of an aspect ratio of 8:3.
    WidePixels,
    /// The same with a byte of nonsense after each SPS.
    TrailingBytes,
    /// Field pictures of 320x256 (PAFF), two in each access unit here.
    Fields,
    /// Two seconds of 320x240, then two of 640x360.
    Resized,
    /// Five frames a second, and a key frame after every `0` frames.
    Gop(u16),
    /// Every row of macroblocks refreshed in turn; one IDR at the beginning.
    IntraRefresh,
}

/// The access units of a video, once it is encoded.
type Encoded = OnceLock<Vec<Vec<Unit>>>;

impl Media {
    /// Its access units, to be sent in a loop.
    ///
    /// # Panics
    /// When FFmpeg cannot encode it.
    pub fn access_units(self) -> &'static [Vec<Unit>] {
        static ENCODED: Mutex<Vec<(Media, &'static Encoded)>> = Mutex::new(Vec::new());
        let cell = {
            let mut encoded = ENCODED.lock().unwrap_or_else(PoisonError::into_inner);
            match encoded.iter().find(|(known, _)| *known == self) {
                Some((_, cell)) => cell,
                None => {
                    // Statics are never dropped, and neither is this.
                    let cell: &'static Encoded = Box::leak(Box::default());
                    encoded.push((self, cell));
                    cell
                }
            }
        };
        cell.get_or_init(|| self.make())
    }

    fn make(self) -> Vec<Vec<Unit>> {
        match self {
            Self::Plain => encode("320x240:rate=15", 4, "keyint=15:min-keyint=15", &[]),
            Self::Slices => encode("320x240:rate=15", 4, "keyint=15:min-keyint=15:slices=4", &[]),
            Self::WidePixels => encode("320x240:rate=15", 4, "keyint=15:min-keyint=15", &["-aspect", "32:9"]),
            Self::TwoPps => Self::Plain.access_units().iter().map(|unit| with_two_pps(unit)).collect(),
            Self::TrailingBytes => {
                let padded =
                    |unit: &Unit| if unit_type(unit) == 7 { [unit, &[0x5a][..]].concat() } else { unit.clone() };
                Self::Plain.access_units().iter().map(|units| units.iter().map(padded).collect()).collect()
            }
            Self::Fields => as_fields(&encode("320x128:rate=30", 4, "keyint=30:min-keyint=30:ref=1", &[])),
            Self::Resized => {
                let large = encode("640x360:rate=15", 2, "keyint=15:min-keyint=15", &[]);
                Self::Plain.access_units()[..30].iter().cloned().chain(large).collect()
            }
            Self::Gop(frames) => {
                let options = format!("keyint={frames}:min-keyint={frames}:scenecut=0");
                encode("320x240:rate=5", u32::from(frames.div_ceil(5)), &options, &[])
            }
            Self::IntraRefresh => encode("320x240:rate=15", 8, "intra-refresh=1:keyint=15", &["-profile:v", "main"]),
        }
    }
}

fn with_two_pps(access_unit: &[Unit]) -> Vec<Unit> {
    let rewritten = |unit: &Unit| match unit_type(unit) {
        8 => vec![unit.clone(), annex_b::second_pps(unit)],
        5 => vec![unit.clone()],
        _ if is_slice(unit) => vec![annex_b::with_second_pps(unit)],
        _ => vec![unit.clone()],
    };
    access_unit.iter().flat_map(rewritten).collect()
}

fn encode(picture: &str, seconds: u32, x264: &str, more: &[&str]) -> Vec<Vec<Unit>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-t", &seconds.to_string(), "-i", &format!("testsrc2=size={picture}")]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-threads", "1"]);
    ffmpeg.args(["-profile:v", "baseline", "-x264-params", &format!("{x264}:sliced-threads=0:bframes=0")]);
    let output = ffmpeg.args(more).args(["-f", "h264", "-"]).output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    access_units(&output.stdout)
}
