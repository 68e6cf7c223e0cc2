//! Parses the audio format in the headers of a NUT file.

use std::fmt;

/// Startcodes of header packets; all start with an N.
pub(super) const MAIN: [u8; 8] = *b"NMzV\x1f_\x04\xad";
pub(super) const STREAM: [u8; 8] = *b"NS\x11@[\xf2\xf9\xdb";
/// A longer packet has a checksum after its length.
const LONG: u64 = 4096;
/// `stream_class` of audio.
const AUDIO: u64 = 1;
/// Later versions of the format have a minor version in the main header.
const WITH_MINOR: u64 = 3;

/// The audio format of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAudio {
    /// Its codec.
    pub codec: SourceCodec,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// The codec of a source's audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCodec {
    /// AAC, which MP4 carries unchanged.
    Aac,
    /// Opus, which MP4 carries unchanged.
    Opus,
    /// A codec that must be transcoded.
    Other(String),
}

impl fmt::Display for SourceCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aac => f.write_str("AAC"),
            Self::Opus => f.write_str("Opus"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Codec tags of cameras: those of WAVE files (`mmreg.h`), little-endian in four bytes.
const NAMES: &[(u32, &str)] = &[
    (0x06, "G.711 A-law"),
    (0x07, "G.711 µ-law"),
    (0x40, "G.726"),
    (0x45, "G.726"),
    (0x50, "MP2"),
    (0x55, "MP3"),
    (0x28f, "G.722"),
];
const TAG_AAC: u32 = 0xff;
const TAG_OPUS: u32 = u32::from_le_bytes(*b"Opus");

impl SourceCodec {
    pub(super) fn of_tag(tag: &[u8]) -> Self {
        let number = tag.iter().rev().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
        match number {
            TAG_AAC => Self::Aac,
            TAG_OPUS => Self::Opus,
            // NUT's tags of PCM: the sample size is last, or first for big-endian samples.
            _ if matches!(tag, [b'P', _, b'D', _] | [_, b'D', _, b'P']) => Self::Other("PCM".to_owned()),
            _ => {
                let known = NAMES.iter().find(|(tag, _)| *tag == number);
                Self::Other(known.map_or_else(|| "another codec".to_owned(), |(_, name)| (*name).to_owned()))
            }
        }
    }
}

/// A header packet: startcode, length, contents, checksum.
pub(super) struct Packet<'a> {
    pub(super) startcode: [u8; 8],
    /// Contents and checksum.
    pub(super) body: &'a [u8],
    /// Length of the whole packet.
    pub(super) length: usize,
}

/// The bytes are not a packet.
pub(super) struct NotPacket;

impl<'a> Packet<'a> {
    /// The packet at the start of `bytes`, once it is complete.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, NotPacket> {
        if bytes.first().is_some_and(|&first| first != b'N') {
            return Err(NotPacket);
        }
        let mut rest = Reader(bytes);
        let Some(startcode) = rest.take(8).and_then(|code| code.try_into().ok()) else { return Ok(None) };
        let Some(length) = rest.number() else {
            // A number has at most nine bytes.
            return if rest.0.len() > 9 { Err(NotPacket) } else { Ok(None) };
        };
        if length > LONG && rest.take(4).is_none() {
            return Ok(None);
        }
        let body = usize::try_from(length).ok().and_then(|length| rest.take(length));
        Ok(body.map(|body| Self { startcode, body, length: bytes.len() - rest.0.len() }))
    }
}

/// The number of streams in the main header.
pub(super) fn stream_count(body: &[u8]) -> Option<u64> {
    let mut rest = Reader(body);
    if rest.number()? > WITH_MINOR {
        rest.number()?;
    }
    rest.number()
}

impl SourceAudio {
    /// The audio format in the stream header `body`. `None` for another kind of stream.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut rest = Reader(body);
        let _id = rest.number()?;
        if rest.number()? != AUDIO {
            return None;
        }
        let codec = SourceCodec::of_tag(rest.data()?);
        // Time base, msb_pts_shift, max_pts_distance, decode_delay, flags.
        for _ in 0..5 {
            rest.number()?;
        }
        let _codec_specific = rest.data()?;
        let (numerator, denominator) = (rest.number()?, rest.number()?);
        let sample_rate = numerator.checked_div(denominator)?.try_into().ok()?;
        Some(Self { codec, sample_rate, channels: rest.number()?.try_into().ok()? })
    }
}

/// Reads values from the front of the bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A variable-length number: seven bits per byte, the highest first; the eighth bit says that more follow.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (at, &byte) in self.0.iter().enumerate().take(9) {
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    /// A length and that many bytes.
    fn data(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.try_into().ok()?)
    }
}
