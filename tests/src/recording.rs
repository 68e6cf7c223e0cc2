//! Recordings with the parameter sets that cameras write, which the relay reads as endless sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Recordings in a folder that is removed on drop.
#[derive(Debug)]
pub struct Recordings {
    folder: TempDir,
}

/// H.264 of 640x360 at 25 frames per second for six seconds, with a key frame per second.
const H264: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-g", "25"];
/// The same in H.265.
const H265: &[&str] = &["-c:v", "libx265", "-preset", "ultrafast"];

impl Recordings {
    /// An empty folder.
    ///
    /// # Panics
    /// When no folder can be created.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary directory") }
    }

    /// H.264 of 320x180 for `seconds`, with a key frame per second, and AAC that ends after `sound` seconds.
    pub fn sound_that_ends(&self, seconds: u32, sound: u32) -> PathBuf {
        let recording = self.path("sound.ts");
        let (picture, tone) = (format!("testsrc2=d={seconds}:r=25:s=320x180"), format!("sine=d={sound}:r=48000"));
        let input = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
        let output = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-c:a", "aac"];
        ffmpeg(&[&input[..], &output].concat(), &recording);
        recording
    }

    /// H.264 without B-frames and without a VUI in its SPS, in `avcC` and before each key frame, as from some cameras. Its
    /// frames carry a picture order count (`pic_order_cnt_type` 0), as those of most cameras do. A decoder therefore cannot
    /// know that no frame is reordered.
    pub fn h264_without_vui(&self) -> PathBuf {
        // x264 omits the picture order count if B-frames are not allowed at all.
        let stripped = self.strip(&["-bf", "3", "-x264-params", "b-bias=-100"]);
        let (raw, recording) = (self.path("raw.h264"), self.path("h264.mp4"));
        ffmpeg(&["-i", text(&stripped), "-c", "copy"], &raw);
        // x264 also delays timestamps for possible B-frames. A constant frame rate gives timestamps as a camera's.
        ffmpeg(&["-r", "25", "-i", text(&raw), "-c", "copy"], &recording);
        recording
    }

    /// The same with two B-frames between other frames.
    pub fn h264_without_vui_with_b_frames(&self) -> PathBuf {
        let stripped = self.strip(&["-bf", "2"]);
        let recording = self.path("b-frames.mp4");
        // FFmpeg puts the parameter sets of `avcC` before each key frame.
        ffmpeg(&["-i", text(&stripped), "-c", "copy", "-bsf:v", "h264_mp4toannexb"], &recording);
        recording
    }

    /// An MP4 file with these options for x264, without a VUI in its `avcC`.
    fn strip(&self, options: &[&str]) -> PathBuf {
        let (encoded, stripped) = (self.path("encoded.mp4"), self.path("stripped.mp4"));
        encode(H264, options, &encoded);
        let mut bytes = std::fs::read(&encoded).expect("it was recorded");
        remove_vui(&mut bytes);
        std::fs::write(&stripped, bytes).expect("the temporary directory is writable");
        stripped
    }

    /// H.265 with an SPS, in `hvcC` and before each key frame, that declares two reordered frames. The encoder never uses them.
    pub fn h265_declaring_unused_b_frames(&self) -> PathBuf {
        let (encoded, recording) = (self.path("encoded.mp4"), self.path("h265.mp4"));
        let parameters = "log-level=none:bframes=3:b-adapt=2:bframe-bias=-90:keyint=25:pools=1:frame-threads=1";
        encode(H265, &["-x265-params", parameters], &encoded);
        ffmpeg(&["-i", text(&encoded), "-c", "copy", "-bsf:v", "hevc_mp4toannexb"], &recording);
        recording
    }

    /// The path of this file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Recordings {
    fn default() -> Self {
        Self::new()
    }
}

/// The configuration of a stream that plays `recording` in a loop.
pub fn stream(name: &str, recording: &Path) -> String {
    let source = text(recording);
    format!(
        "[streams.{name}]\nsource = \"{source}\"\ninput_options = [\"-re\", \"-stream_loop\", \"-1\", \"-f\", \"mp4\"]\n"
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

fn encode(encoder: &[&str], more: &[&str], output: &Path) {
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25", "-t", "6", "-pix_fmt", "yuv420p"];
    ffmpeg(&[&picture, encoder, more].concat(), output);
}

fn ffmpeg(arguments: &[&str], output: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments).arg(output);
    let status = command.status().unwrap_or_else(|e| panic!("ffmpeg does not start: {e}"));
    assert!(status.success(), "{command:?}");
}

/// The boxes around the decoder configuration record (ISO/IEC 14496-12, table 1), and the record.
const ENCLOSING: [&[u8; 4]; 8] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"avcC"];

/// Shortens the SPS in the `avcC` of an MP4 file with a single track and `moov` after `mdat`.
fn remove_vui(file: &mut Vec<u8>) {
    let after = |file: &[u8], name: &[u8; 4], from: usize| {
        from + file[from..].windows(4).position(|four| four == name).expect("an MP4 file of FFmpeg's") + 4
    };
    // The record's first five bytes and the number of SPSs precede the length of the first SPS.
    let moov = file.windows(4).rposition(|four| four == b"moov").expect("a moov");
    let length_at = after(file, b"avcC", moov) + 6;
    let length = usize::from(u16::from_be_bytes([file[length_at], file[length_at + 1]]));
    let sps = &file[length_at + 2..length_at + 2 + length];
    let short = without_vui(sps);
    let less = (length - short.len()) as u32;
    file.splice(length_at + 2..length_at + 2 + length, short.iter().copied());
    file[length_at..length_at + 2].copy_from_slice(&(short.len() as u16).to_be_bytes());
    let mut at = moov;
    for name in ENCLOSING {
        at = after(file, name, at);
        let size = u32::from_be_bytes([file[at - 8], file[at - 7], file[at - 6], file[at - 5]]) - less;
        file[at - 8..at - 4].copy_from_slice(&size.to_be_bytes());
    }
}

/// An SPS of the Main profile up to its `vui_parameters_present_flag`, which becomes 0 (Rec. ITU-T H.264, section 7.3.2.1.1).
/// x264 writes no emulation prevention byte before the flag.
fn without_vui(sps: &[u8]) -> Vec<u8> {
    assert_eq!((sps[0] & 0x1f, sps[1]), (7, 77), "an SPS of the Main profile");
    // After the NAL unit header, profile, constraints and level.
    let mut at = 32;
    let mut bit = || {
        at += 1;
        sps[(at - 1) / 8] >> (7 - (at - 1) % 8) & 1 == 1
    };
    let ue = |bit: &mut dyn FnMut() -> bool| {
        let zeros = (0..32).take_while(|_| !bit()).count();
        (0..zeros).fold(1u32, |value, _| value << 1 | u32::from(bit())) - 1
    };
    // The id and the length of frame_num, then the fields of the picture order count type.
    ue(&mut bit);
    ue(&mut bit);
    match ue(&mut bit) {
        0 => _ = ue(&mut bit),
        2 => {}
        other => panic!("x264 does not use pic_order_cnt_type {other}"),
    }
    ue(&mut bit);
    bit();
    ue(&mut bit);
    ue(&mut bit);
    assert!(bit(), "frame_mbs_only_flag");
    bit();
    if bit() {
        (0..4).for_each(|_| _ = ue(&mut bit));
    }
    assert!(bit(), "x264 writes a VUI");
    let mut short = sps[..at.div_ceil(8)].to_vec();
    // The flag becomes 0. The stop bit and zeros follow.
    let flag = at - 1;
    short[flag / 8] &= !(0xff >> (flag % 8));
    if (flag + 1).is_multiple_of(8) {
        short.push(0x80);
    } else {
        short[flag / 8] |= 0x80 >> ((flag + 1) % 8);
    }
    short
}
