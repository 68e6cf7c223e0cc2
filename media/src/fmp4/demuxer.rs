//! Demultiplexes a byte stream into init segments and fragments, for any division into reads.
//!
//! Bytes enter through [`Demuxer::buffer`], segments leave through [`Demuxer::next_segment`]. The buffer holds at most one
//! incomplete segment. A segment larger than [`SEGMENT_BYTES_MAX`] is an error, so the buffer is bounded.

use bytes::{Bytes, BytesMut};
use mp4_atom::{DecodeMaybe, FourCC, Header};

/// Maximum size of an init segment or fragment. A key frame of 8K video at the highest bit rates has some megabytes.
pub const SEGMENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A segment of fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// `ftyp moov`.
    Init(Bytes),
    /// `[prft] moof mdat`, without a capture time yet.
    Fragment(BytesMut),
}

/// Why a byte stream is not fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemuxError {
    /// An unexpected box, or no box at all.
    #[error("unexpected box `{}` at byte {offset} of fragmented MP4", found.as_ref().escape_ascii())]
    Unexpected {
        /// The type of the box, or the bytes in its place.
        found: FourCC,
        /// The byte offset in the stream.
        offset: u64,
    },
    /// A box with an impossible size, or a segment larger than [`SEGMENT_BYTES_MAX`].
    #[error("box `{}` at byte {offset} has an invalid size", found.as_ref().escape_ascii())]
    Size {
        /// The type of the box.
        found: FourCC,
        /// The byte offset in the stream.
        offset: u64,
    },
}

/// The last box of the incomplete segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Ftyp,
    Prft,
    Moof,
}

/// The role of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Irrelevant for viewers.
    Drop,
    /// Part of an incomplete segment.
    Part(Seen),
    /// Completes an init segment.
    EndOfInit,
    /// Completes a fragment.
    EndOfFragment,
}

fn role(seen: Seen, kind: &[u8; 4]) -> Option<Role> {
    match (seen, kind) {
        // FFmpeg ends its output with `mfra`.
        (Seen::Nothing, b"free" | b"skip" | b"styp" | b"sidx" | b"emsg" | b"mfra") => Some(Role::Drop),
        (Seen::Nothing, b"ftyp") => Some(Role::Part(Seen::Ftyp)),
        (Seen::Ftyp, b"free") => Some(Role::Part(Seen::Ftyp)),
        (Seen::Ftyp, b"moov") => Some(Role::EndOfInit),
        (Seen::Nothing, b"prft") => Some(Role::Part(Seen::Prft)),
        (Seen::Nothing | Seen::Prft, b"moof") => Some(Role::Part(Seen::Moof)),
        (Seen::Moof, b"mdat") => Some(Role::EndOfFragment),
        _ => None,
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Demuxer {
    buffer: BytesMut,
    /// Length of the complete boxes of the incomplete segment, at the start of `buffer`.
    collected: usize,
    seen: Seen,
    /// Byte offset of `buffer` in the stream.
    offset: u64,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), collected: 0, seen: Seen::Nothing, offset: 0 }
    }
}

impl Demuxer {
    /// The buffer to append the stream's next bytes to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete segment. `None` until there are more bytes.
    ///
    /// # Errors
    /// See [`DemuxError`]. After an error the stream cannot be continued.
    pub fn next_segment(&mut self) -> Result<Option<Segment>, DemuxError> {
        while let Some((role, end)) = self.complete_box()? {
            match role {
                Role::Drop => drop(self.take(end)),
                Role::Part(seen) => (self.collected, self.seen) = (end, seen),
                Role::EndOfInit => return Ok(Some(Segment::Init(self.take(end).freeze()))),
                Role::EndOfFragment => return Ok(Some(Segment::Fragment(self.take(end)))),
            }
        }
        Ok(None)
    }

    /// The role and the end of the box after `collected`, once it is complete.
    fn complete_box(&self) -> Result<Option<(Role, usize)>, DemuxError> {
        let rest = &self.buffer[self.collected..];
        let offset = self.offset + self.collected as u64;
        let Some(kind) = rest.get(4..8).and_then(|kind| <[u8; 4]>::try_from(kind).ok()) else {
            return Ok(None);
        };
        let found = FourCC::from(kind);
        // Checked before the size, so that text or noise does not make the demuxer wait for gigabytes.
        let role = role(self.seen, &kind).ok_or(DemuxError::Unexpected { found, offset })?;
        let mut body = rest;
        let Some(header) = Header::decode_maybe(&mut body).map_err(|_| DemuxError::Size { found, offset })? else {
            return Ok(None);
        };
        let end = header
            .size
            .and_then(|size| size.checked_add(self.buffer.len() - body.len()))
            .filter(|&end| end <= SEGMENT_BYTES_MAX)
            .ok_or(DemuxError::Size { found, offset })?;
        Ok((end <= self.buffer.len()).then_some((role, end)))
    }

    fn take(&mut self, end: usize) -> BytesMut {
        self.collected = 0;
        self.seen = Seen::Nothing;
        self.offset += end as u64;
        self.buffer.split_to(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: &[u8; 4], body: usize) -> Vec<u8> {
        let mut out = ((body + 8) as u32).to_be_bytes().to_vec();
        out.extend(kind);
        out.resize(body + 8, b'x');
        out
    }

    fn stream(kinds: &[(&[u8; 4], usize)]) -> Vec<u8> {
        kinds.iter().flat_map(|(kind, body)| boxed(kind, *body)).collect()
    }

    /// All segments of `bytes`, divided at `cuts`.
    fn split_at(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Segment>, DemuxError> {
        let mut demuxer = Demuxer::default();
        let mut segments = Vec::new();
        let mut start = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            demuxer.buffer().extend_from_slice(&bytes[start..cut]);
            start = cut;
            while let Some(segment) = demuxer.next_segment()? {
                segments.push(segment);
            }
        }
        Ok(segments)
    }

    const LIVE: &[(&[u8; 4], usize)] = &[
        (b"ftyp", 20),
        (b"moov", 500),
        (b"prft", 24),
        (b"moof", 96),
        (b"mdat", 9000),
        (b"moof", 92),
        (b"mdat", 0),
        (b"styp", 8),
        (b"moof", 92),
        (b"mdat", 300),
        (b"mfra", 70),
    ];

    #[test]
    fn live_stream_yields_init_segment_and_fragments() {
        let segments = split_at(&stream(LIVE), &[]).unwrap();
        assert_eq!(
            segments,
            [
                Segment::Init(stream(&LIVE[..2]).into()),
                Segment::Fragment(BytesMut::from(&stream(&LIVE[2..5])[..])),
                Segment::Fragment(BytesMut::from(&stream(&LIVE[5..7])[..])),
                Segment::Fragment(BytesMut::from(&stream(&LIVE[8..10])[..])),
            ]
        );
    }

    #[test]
    fn unexpected_box_is_reported_with_its_offset() {
        let unexpected = |bytes: &[u8]| match split_at(bytes, &[]) {
            Err(DemuxError::Unexpected { found, offset }) => (found, offset),
            other => panic!("{other:?}"),
        };
        assert_eq!(unexpected(b"HTTP/1.1 404 Not Found"), (FourCC::new(b"/1.1"), 0));
        assert_eq!(unexpected(&stream(&[(b"moof", 9), (b"moof", 9)])), (FourCC::new(b"moof"), 17));
        assert_eq!(unexpected(b"\0\0\0\x20\0\x01\x02\x03"), (FourCC::new(b"\0\x01\x02\x03"), 0));
        for size in [[0, 0, 0, 0], [0, 0, 0, 7], [0xff, 0, 0, 0]] {
            let bytes = [&size[..], b"moof"].concat();
            assert!(matches!(split_at(&bytes, &[]), Err(DemuxError::Size { .. })), "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_segments(mut cuts in proptest::collection::vec(0usize..10_000, 0..40)) {
            let bytes = stream(LIVE);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
            cuts.sort_unstable();
            prop_assert_eq!(split_at(&bytes, &cuts), split_at(&bytes, &[]));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = split_at(&bytes, &[]);
        }
    }
}
