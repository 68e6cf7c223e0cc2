//! Writes one track of audio as NUT, for an RTP source, which has no container. Every frame is a key frame.

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{MAIN, STREAM};
use super::{FILE_ID, SYNCPOINT, SourceAudio, SourceCodec};

/// Bytes from one syncpoint to the next, as FFmpeg writes them: seconds of most codecs.
const SYNC_DISTANCE: usize = 32 * 1024;
/// `max_distance`, the most that the format allows: a frame of more than twice this needs a checksum.
const MAX_DISTANCE: u64 = 65_536;
/// The largest frame that is written.
pub const FRAME_MAX: usize = 2 * MAX_DISTANCE as usize;
/// `max_pts_distance`, in seconds: where timestamps differ by more, a syncpoint is written.
const PTS_DISTANCE: u64 = 1;

/// The version of the format.
const VERSION: u64 = 3;
const CLASS_AUDIO: u64 = 1;
/// Flags of a frame code: a key frame; its timestamp and size follow.
const FLAG_KEY: u64 = 1;
const FLAG_CODED_PTS: u64 = 8;
const FLAG_SIZE_MSB: u64 = 32;
const FLAG_INVALID: u64 = 8192;
/// The one frame code that is used.
const FRAME_CODE: u8 = 1;

/// A codec of audio that comes in RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// AAC in raw frames; the configuration is an AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1).
    Aac,
    /// G.711 A-law.
    PcmAlaw,
    /// G.711 µ-law.
    PcmMulaw,
    /// Linear PCM, 16 bits, big-endian.
    PcmS16Be,
    /// G.722.
    G722,
}

impl Codec {
    /// The tag by which readers of NUT know it.
    fn tag(self) -> [u8; 4] {
        match self {
            Self::Aac => [0xff, 0, 0, 0],
            Self::PcmAlaw => [0x06, 0, 0, 0],
            Self::PcmMulaw => [0x07, 0, 0, 0],
            Self::PcmS16Be => [16, b'D', b'S', b'P'],
            Self::G722 => [0x8f, 0x02, 0, 0],
        }
    }
}

/// The track that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its codec.
    pub codec: Codec,
    /// Ticks a second of its timestamps.
    pub timescale: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// What a decoder has to know before the first frame; empty for most codecs.
    pub config: Bytes,
}

impl Track {
    /// What the headers say of it.
    pub fn describe(&self) -> SourceAudio {
        let codec = SourceCodec::of_tag(&self.codec.tag());
        SourceAudio { codec, sample_rate: self.sample_rate, channels: self.channels }
    }

    /// Everything before the first syncpoint.
    pub fn head(&self) -> Bytes {
        let mut out = BytesMut::from(FILE_ID);
        let mut main = BytesMut::new();
        numbers(&mut main, &[VERSION, 1, MAX_DISTANCE, 1, 1, self.timescale.into()]);
        // Frame codes: flags, count of fields, pts delta, size multiplier, stream, size, reserved, count. 'N' is never counted.
        numbers(&mut main, &[FLAG_INVALID, 6, 0, 1, 0, 0, 0, 1]);
        numbers(&mut main, &[FLAG_KEY | FLAG_CODED_PTS | FLAG_SIZE_MSB, 6, 0, 1, 0, 0, 0, 1]);
        numbers(&mut main, &[FLAG_INVALID, 6, 0, 1, 0, 0, 0, 253]);
        // No elided headers.
        number(&mut main, 0);
        packet(&mut out, MAIN, &main);
        let mut stream = BytesMut::new();
        numbers(&mut stream, &[0, CLASS_AUDIO]);
        data(&mut stream, &self.codec.tag());
        // Time base, msb_pts_shift, max_pts_distance, decode_delay, flags.
        numbers(&mut stream, &[0, 0, PTS_DISTANCE * u64::from(self.timescale), 0, 0]);
        data(&mut stream, &self.config);
        numbers(&mut stream, &[self.sample_rate.into(), 1, self.channels.into()]);
        packet(&mut out, STREAM, &stream);
        out.freeze()
    }
}

/// A frame, with a syncpoint in front of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether they begin with a syncpoint.
    pub sync: bool,
}

/// Writes the frames of one [`Track`], after its [`Track::head`].
#[derive(Debug)]
pub struct Writer {
    timescale: u32,
    /// Bytes since the last syncpoint, and the timestamp of the last frame.
    last: Option<(usize, u64)>,
}

impl Writer {
    /// At the beginning of the file.
    pub fn new(track: &Track) -> Self {
        Self { timescale: track.timescale, last: None }
    }

    /// The frame at `timestamp`; none where it is larger than [`FRAME_MAX`].
    pub fn frame(&mut self, timestamp: u64, frame: &[u8]) -> Option<Frame> {
        if frame.len() > FRAME_MAX {
            return None;
        }
        let mut out = BytesMut::with_capacity(frame.len() + 48);
        let near = |last: u64| timestamp.abs_diff(last) <= PTS_DISTANCE * u64::from(self.timescale);
        let since = self.last.filter(|&(since, last)| since < SYNC_DISTANCE && near(last)).map(|(since, _)| since);
        if since.is_none() {
            let mut syncpoint = BytesMut::new();
            // In the one time base; no frame before is needed.
            numbers(&mut syncpoint, &[timestamp, 0]);
            packet(&mut out, SYNCPOINT, &syncpoint);
        }
        out.put_u8(FRAME_CODE);
        // With msb_pts_shift 0, a whole timestamp is written one larger.
        numbers(&mut out, &[timestamp + 1, frame.len() as u64]);
        out.put_slice(frame);
        self.last = Some((since.unwrap_or(0) + out.len(), timestamp));
        Some(Frame { bytes: out.freeze(), sync: since.is_none() })
    }
}

/// Startcode, length, contents, checksum. Contents are below 4096 bytes.
fn packet(out: &mut BytesMut, startcode: [u8; 8], body: &[u8]) {
    out.put_slice(&startcode);
    let length = body.len() as u64 + 4;
    debug_assert!(length <= 4096, "a longer packet has a checksum of its header");
    number(out, length);
    out.put_slice(body);
    out.put_u32(checksum(body));
}

/// CRC-32 with the generator 0x04C11DB7, the highest bit first, starting with 0.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

/// A number of variable length: seven bits a byte, the highest first; the eighth bit says that more follow.
fn number(out: &mut BytesMut, value: u64) {
    let groups = (64 - (value | 1).leading_zeros()).div_ceil(7);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.put_u8((value >> (7 * group)) as u8 & 0x7f | more);
    }
}

fn numbers(out: &mut BytesMut, values: &[u64]) {
    values.iter().for_each(|&value| number(out, value));
}

fn data(out: &mut BytesMut, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::{NutChunk, NutDemuxer};
    use super::*;

    fn track(codec: Codec, sample_rate: u32, config: &'static [u8]) -> Track {
        Track { codec, timescale: sample_rate, sample_rate, channels: 1, config: Bytes::from_static(config) }
    }

    /// The track, and whole seconds of silence in frames of `ticks`.
    fn file(track: &Track, frame: &[u8], ticks: u64, seconds: u64) -> (Vec<u8>, usize) {
        let mut file = track.head().to_vec();
        let (mut writer, mut syncs) = (Writer::new(track), 0);
        for at in (0..seconds * u64::from(track.timescale)).step_by(ticks as usize) {
            let frame = writer.frame(10 * u64::from(track.timescale) + at, frame).unwrap();
            syncs += usize::from(frame.sync);
            file.extend(&frame.bytes);
        }
        (file, syncs)
    }

    #[test]
    fn checksum_matches_ffmpeg() {
        let alaw = include_bytes!("fixtures/alaw.nut");
        let at = alaw.windows(8).position(|window| window == STREAM).unwrap();
        let length = usize::from(alaw[at + 8]);
        let (body, crc) = alaw[at + 9..][..length].split_at(length - 4);
        assert_eq!(checksum(body).to_be_bytes(), crc);
    }

    #[test]
    fn demuxer_reads_written_file() {
        for (codec, rate, source) in [
            (Codec::Aac, 48_000, SourceCodec::Aac),
            (Codec::PcmAlaw, 8000, SourceCodec::Other("G.711 A-law".into())),
            (Codec::PcmMulaw, 8000, SourceCodec::Other("G.711 µ-law".into())),
            (Codec::PcmS16Be, 44_100, SourceCodec::Other("PCM".into())),
            (Codec::G722, 16_000, SourceCodec::Other("G.722".into())),
        ] {
            let track = track(codec, rate, &[0x11, 0x88]);
            let expected = SourceAudio { codec: source, sample_rate: rate, channels: 1 };
            assert_eq!(track.describe(), expected);
            let (bytes, syncs) = file(&track, &[0; 200], 160, 10);
            let mut demuxer = NutDemuxer::default();
            demuxer.buffer().extend_from_slice(&bytes);
            assert_eq!(demuxer.next_chunk().unwrap(), Some(NutChunk::Audio(Some(expected))));
            assert_eq!(demuxer.next_chunk().unwrap(), Some(NutChunk::Head(track.head())));
            let mut found = 0;
            while let Some(NutChunk::Media { sync, .. }) = demuxer.next_chunk().unwrap() {
                found += usize::from(sync);
            }
            assert_eq!(found, syncs);
            assert_eq!(syncs, (bytes.len() - track.head().len()).div_ceil(SYNC_DISTANCE + 207).max(1), "{codec:?}");
        }
    }

    #[test]
    fn timestamp_jump_writes_syncpoint() {
        let track = track(Codec::PcmAlaw, 8000, &[]);
        let mut writer = Writer::new(&track);
        let syncs = [0, 160, 8160, 8320, 20_000, 100].map(|timestamp| writer.frame(timestamp, &[0; 160]).unwrap().sync);
        assert_eq!(syncs, [true, false, false, false, true, true]);
        assert_eq!(writer.frame(200, &vec![0; FRAME_MAX + 1]), None);
    }

    #[test]
    fn header_matches_golden_bytes() {
        let head = track(Codec::Aac, 48_000, &[0x11, 0x88]).head();
        let hex: String = head[FILE_ID.len()..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = "4e4d7a561f5f04ad2a0301848000010182f700c000060001000000012906000100000001c000060001000000817d00\
                          e597e7e44e5311405bf2f9db1a000104ff000000000082f700000002118882f7000101b05ef22d";

    /// FFprobe reads each written frame at its timestamp.
    #[test]
    fn ffprobe_reads_every_frame_at_its_timestamp() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        let (bytes, _) = file(&track(Codec::PcmAlaw, 8000, &[]), &[0xd5; 160], 160, 9);
        let args = [
            "-v",
            "error",
            "-f",
            "nut",
            "-i",
            "pipe:0",
            "-show_entries",
            "packet=pts,size:stream=codec_name,sample_rate",
        ];
        let probe = Command::new("ffprobe")
            .args(args)
            .args(["-of", "csv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        // The crate is tested without FFmpeg too.
        let Ok(mut probe) = probe else { return };
        probe.stdin.take().unwrap().write_all(&bytes).unwrap();
        let text = String::from_utf8(probe.wait_with_output().unwrap().stdout).unwrap();
        let packets: Vec<_> = text.lines().filter(|line| line.starts_with("packet,")).collect();
        let expected: Vec<_> = (0..450).map(|n| format!("packet,{},160", 80_000 + n * 160)).collect();
        assert_eq!(packets, expected);
        assert!(text.contains("stream,pcm_alaw,8000"), "{text}");
    }
}
