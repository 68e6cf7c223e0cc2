//! NUT, the container in which FFmpeg hands over a source's audio: it takes any codec, holds nothing back, and keeps time
//! exactly ("NUT Open Container Format", FFmpeg's `nut.txt`). Sans-IO: bytes in, units out.
//!
//! A file is an identification, headers, and then frames, before some of which stands a *syncpoint*: from there a reader
//! that knows the headers can begin. Frames are not looked into. Bytes leave as they came in; kept are headers until they
//! are complete, at most [`HEAD_MAX`], and after that what may be the beginning of a syncpoint.

mod header;

use bytes::{Bytes, BytesMut};

use header::{MAIN, Packet, STREAM};
pub use header::{SourceAudio, SourceCodec};

/// What every file begins with.
const FILE_ID: &[u8] = b"nut/multimedia container\0";
/// Where reading can begin.
const SYNCPOINT: [u8; 8] = *b"NK\xe4\xad\xee\xcaEi";
/// FFmpeg's headers of a source with one audio track are some 400 bytes, more where the source has a long title.
const HEAD_MAX: usize = 64 * 1024;
/// What has to stand between the headers and a syncpoint from the middle of a file, which says how far back the one before
/// it lies: FFmpeg refuses one that points to before the file's start. Its syncpoints are a frame and 32 KiB apart at most.
pub static GAP: [u8; 128 * 1024] = [0; 128 * 1024];

/// What a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// What audio is to come, if any; once, as soon as it is known. Of a source without audio nothing follows.
    Audio(Option<SourceAudio>),
    /// Everything before the first syncpoint.
    Head(Bytes),
    /// Syncpoints and frames, cut anywhere but in a syncpoint's startcode.
    Media {
        /// As they came.
        bytes: Bytes,
        /// Whether they begin with a syncpoint; there is none after.
        sync: bool,
    },
}

/// Why bytes are not NUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NutError {
    /// Something else where the identification or a packet of the headers was due.
    #[error("what comes at byte {0} is not NUT")]
    Unexpected(usize),
    /// Headers that are longer than [`HEAD_MAX`].
    #[error("the headers do not end within {HEAD_MAX} bytes")]
    TooLong,
}

/// Where in the file the splitter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In the headers, of which so many bytes have been read.
    Head(usize),
    /// After the first syncpoint.
    Media,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    phase: Phase,
    /// How many streams the main header announces, and how many have been described.
    streams: (u64, u64),
    audio: Option<SourceAudio>,
    told: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), phase: Phase::Head(0), streams: (u64::MAX, 0), audio: None, told: false }
    }
}

impl Splitter {
    /// Where the next bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next unit, or `None` until more bytes have come.
    ///
    /// # Errors
    /// See [`NutError`]. After an error the file cannot be continued.
    pub fn next_unit(&mut self) -> Result<Option<Unit>, NutError> {
        while let Phase::Head(at) = self.phase {
            if !self.told && self.streams.0 == self.streams.1 {
                self.told = true;
                return Ok(Some(Unit::Audio(self.audio.clone())));
            }
            let rest = &self.buffer[at..];
            if at > 0 && rest.starts_with(&SYNCPOINT) {
                self.phase = Phase::Media;
                return Ok(Some(Unit::Head(self.buffer.split_to(at).freeze())));
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

    /// The length of the header packet at `at`, once all of it is there, of which note is taken.
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

    fn media(&mut self) -> Option<Unit> {
        let sync = self.buffer.starts_with(&SYNCPOINT);
        let from = if sync { SYNCPOINT.len() } else { 0 };
        let rest = &self.buffer[from..];
        let end = rest.windows(SYNCPOINT.len()).position(|window| window == SYNCPOINT);
        let end = from + end.unwrap_or_else(|| rest.len() - begun(rest));
        (end > 0).then(|| Unit::Media { bytes: self.buffer.split_to(end).freeze(), sync })
    }
}

/// The length of the identification, once it is there.
fn identification(bytes: &[u8]) -> Result<Option<usize>, NutError> {
    let length = bytes.len().min(FILE_ID.len());
    if bytes[..length] != FILE_ID[..length] {
        return Err(NutError::Unexpected(0));
    }
    Ok((length == FILE_ID.len()).then_some(length))
}

/// How many bytes at the end may be the beginning of a syncpoint.
fn begun(bytes: &[u8]) -> usize {
    (1..SYNCPOINT.len()).rev().find(|&length| bytes.ends_with(&SYNCPOINT[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
