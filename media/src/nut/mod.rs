//! Demultiplexes NUT, the container in which FFmpeg hands over a source's audio ("NUT Open Container Format", FFmpeg's
//! `nut.txt`). NUT carries any codec, adds no delay and keeps exact time. Sans-IO: bytes in, chunks out.
//!
//! A file is an identification, headers and frames, some of which follow a *syncpoint*: a reader that knows the headers can
//! start there. Frames are not parsed, and bytes leave unchanged. The buffer holds incomplete headers, at most [`HEAD_MAX`],
//! and later the possible start of a syncpoint.

pub mod writer;

mod header;

use bytes::{Bytes, BytesMut};

use header::{MAIN, Packet, STREAM};
pub use header::{SourceAudio, SourceCodec};

/// The start of every file.
const FILE_ID: &[u8] = b"nut/multimedia container\0";
/// The startcode of a syncpoint.
const SYNCPOINT: [u8; 8] = *b"NK\xe4\xad\xee\xcaEi";
/// FFmpeg's headers of one audio track have some 400 bytes, more with a long title.
const HEAD_MAX: usize = 64 * 1024;
/// Inserted between the headers and a syncpoint from the middle of a file. A syncpoint contains the distance to the previous
/// one, and FFmpeg refuses one that points before the start. FFmpeg's syncpoints are at most a frame and 32 KiB apart.
pub static GAP: [u8; 128 * 1024] = [0; 128 * 1024];

/// A chunk of a NUT file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NutChunk {
    /// The audio format, if there is audio; returned once, as early as possible. A source without audio has no further chunks.
    Audio(Option<SourceAudio>),
    /// Everything before the first syncpoint.
    Head(Bytes),
    /// Syncpoints and frames, divided anywhere except in a syncpoint's startcode.
    Media {
        /// The unchanged bytes.
        bytes: Bytes,
        /// Whether they start with a syncpoint; no other follows in them.
        sync: bool,
    },
}

/// Why bytes are not NUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NutError {
    /// Bytes that are not the expected identification or header packet.
    #[error("invalid NUT at byte {0}")]
    Unexpected(usize),
    /// Headers longer than [`HEAD_MAX`].
    #[error("the NUT headers do not end within {HEAD_MAX} bytes")]
    TooLong,
}

/// The demuxer's position in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In the headers, after this many bytes.
    Head(usize),
    /// After the first syncpoint.
    Media,
}

/// See the [module](self).
#[derive(Debug)]
pub struct NutDemuxer {
    buffer: BytesMut,
    phase: Phase,
    /// The numbers of streams announced and described.
    streams: (u64, u64),
    audio: Option<SourceAudio>,
    audio_returned: bool,
}

impl Default for NutDemuxer {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            phase: Phase::Head(0),
            streams: (u64::MAX, 0),
            audio: None,
            audio_returned: false,
        }
    }
}

impl NutDemuxer {
    /// The buffer to append the next bytes to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next chunk. `None` until there are more bytes.
    ///
    /// # Errors
    /// See [`NutError`]. After an error the file cannot be continued.
    pub fn next_chunk(&mut self) -> Result<Option<NutChunk>, NutError> {
        while let Phase::Head(at) = self.phase {
            if !self.audio_returned && self.streams.0 == self.streams.1 {
                self.audio_returned = true;
                return Ok(Some(NutChunk::Audio(self.audio.clone())));
            }
            let rest = &self.buffer[at..];
            if at > 0 && rest.starts_with(&SYNCPOINT) {
                self.phase = Phase::Media;
                return Ok(Some(NutChunk::Head(self.buffer.split_to(at).freeze())));
            }
            let length = if at == 0 { identification(rest)? } else { self.packet(at)? };
            match length {
                Some(length) => self.phase = Phase::Head(at + length),
                None if self.buffer.len() > HEAD_MAX => return Err(NutError::TooLong),
                None => return Ok(None),
            }
        }
        Ok(self.media())
    }

    /// Parses the header packet at `at`. Returns its length once it is complete.
    fn packet(&mut self, at: usize) -> Result<Option<usize>, NutError> {
        let Some(packet) = Packet::read(&self.buffer[at..]).map_err(|_| NutError::Unexpected(at))? else {
            return Ok(None);
        };
        match packet.startcode {
            MAIN => self.streams.0 = header::stream_count(packet.body).unwrap_or(0),
            STREAM => {
                self.streams.1 += 1;
                self.audio = self.audio.take().or_else(|| SourceAudio::read(packet.body));
            }
            _ => {}
        }
        Ok(Some(packet.length))
    }

    fn media(&mut self) -> Option<NutChunk> {
        let sync = self.buffer.starts_with(&SYNCPOINT);
        let from = if sync { SYNCPOINT.len() } else { 0 };
        let rest = &self.buffer[from..];
        let end = rest.windows(SYNCPOINT.len()).position(|window| window == SYNCPOINT);
        let end = from + end.unwrap_or_else(|| rest.len() - partial_syncpoint_len(rest));
        (end > 0).then(|| NutChunk::Media { bytes: self.buffer.split_to(end).freeze(), sync })
    }
}

/// The length of the identification, once it is complete.
fn identification(bytes: &[u8]) -> Result<Option<usize>, NutError> {
    let length = bytes.len().min(FILE_ID.len());
    if bytes[..length] != FILE_ID[..length] {
        return Err(NutError::Unexpected(0));
    }
    Ok((length == FILE_ID.len()).then_some(length))
}

/// The number of bytes at the end that may start a syncpoint.
fn partial_syncpoint_len(bytes: &[u8]) -> usize {
    (1..SYNCPOINT.len()).rev().find(|&length| bytes.ends_with(&SYNCPOINT[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
