//! Cuts a byte stream into init segments and fragments, wherever the reads happened to end.
//!
//! Bytes enter through [`Splitter::buffer`], units leave through [`Splitter::next_unit`]. The buffer holds at most one
//! incomplete unit, and a unit of more than [`MAX_UNIT`] is an error, so it is bounded.

use bytes::{Bytes, BytesMut};
use mp4_atom::{DecodeMaybe, FourCC, Header};

/// The largest init segment or fragment: a key frame of 8K video at the highest bit rates is some megabytes.
pub const MAX_UNIT: usize = 32 * 1024 * 1024;

/// What a stream of fragmented MP4 is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// `ftyp moov`.
    Init(Bytes),
    /// `[prft] moof mdat`, still to be stamped.
    Fragment(BytesMut),
}

/// Why a byte stream is not fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A box that has no place there, or no box at all.
    #[error("`{}` at byte {offset} is not what comes next in fragmented MP4", found.as_ref().escape_ascii())]
    Unexpected {
        /// The type of the box, or what stands in its place.
        found: FourCC,
        /// Bytes of the stream before it.
        offset: u64,
    },
    /// A box with an impossible size, or a unit that is larger than [`MAX_UNIT`].
    #[error("box `{}` at byte {offset} has a size that cannot be right", found.as_ref().escape_ascii())]
    Size {
        /// The type of the box.
        found: FourCC,
        /// Bytes of the stream before it.
        offset: u64,
    },
}

/// What has been seen of the unit that is being collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Ftyp,
    Prft,
    Moof,
}

/// What a box is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It says nothing that a viewer needs.
    Drop,
    /// It belongs to a unit that is not complete with it.
    Part(Seen),
    /// It completes an init segment.
    EndOfInit,
    /// It completes a fragment.
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
pub struct Splitter {
    buffer: BytesMut,
    /// Length of the complete boxes at the start of `buffer` that belong to the unit being collected.
    collected: usize,
    seen: Seen,
    /// Bytes of the stream before `buffer`.
    offset: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), collected: 0, seen: Seen::Nothing, offset: 0 }
    }
}

impl Splitter {
    /// Where the next bytes of the stream are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete unit, or `None` until more bytes have come.
    ///
    /// # Errors
    /// See [`SplitError`]. After an error the stream cannot be continued.
    pub fn next_unit(&mut self) -> Result<Option<Unit>, SplitError> {
        while let Some((role, end)) = self.complete_box()? {
            match role {
                Role::Drop => drop(self.take(end)),
                Role::Part(seen) => (self.collected, self.seen) = (end, seen),
                Role::EndOfInit => return Ok(Some(Unit::Init(self.take(end).freeze()))),
                Role::EndOfFragment => return Ok(Some(Unit::Fragment(self.take(end)))),
            }
        }
        Ok(None)
    }

    /// The role and the end of the box after `collected`, once all of it is there.
    fn complete_box(&self) -> Result<Option<(Role, usize)>, SplitError> {
        let rest = &self.buffer[self.collected..];
        let offset = self.offset + self.collected as u64;
        let Some(kind) = rest.get(4..8).and_then(|kind| <[u8; 4]>::try_from(kind).ok()) else {
            return Ok(None);
        };
        let found = FourCC::from(kind);
        // Judged before the size: text or noise must not make us wait for the gigabytes that it seems to announce.
        let role = role(self.seen, &kind).ok_or(SplitError::Unexpected { found, offset })?;
        let mut body = rest;
        let Some(header) = Header::decode_maybe(&mut body).map_err(|_| SplitError::Size { found, offset })? else {
            return Ok(None);
        };
        let end = header
            .size
            .and_then(|size| size.checked_add(self.buffer.len() - body.len()))
            .filter(|&end| end <= MAX_UNIT)
            .ok_or(SplitError::Size { found, offset })?;
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

    /// Everything that comes out when `bytes` arrive cut at `cuts`.
    fn split_at(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Unit>, SplitError> {
        let mut splitter = Splitter::default();
        let mut units = Vec::new();
        let mut start = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            splitter.buffer().extend_from_slice(&bytes[start..cut]);
            start = cut;
            while let Some(unit) = splitter.next_unit()? {
                units.push(unit);
            }
        }
        Ok(units)
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
    fn a_live_stream_is_cut_into_its_units() {
        let units = split_at(&stream(LIVE), &[]).unwrap();
        assert_eq!(
            units,
            [
                Unit::Init(stream(&LIVE[..2]).into()),
                Unit::Fragment(BytesMut::from(&stream(&LIVE[2..5])[..])),
                Unit::Fragment(BytesMut::from(&stream(&LIVE[5..7])[..])),
                Unit::Fragment(BytesMut::from(&stream(&LIVE[8..10])[..])),
            ]
        );
    }

    #[test]
    fn what_is_not_fragmented_mp4_is_named_with_its_place() {
        let unexpected = |bytes: &[u8]| match split_at(bytes, &[]) {
            Err(SplitError::Unexpected { found, offset }) => (found, offset),
            other => panic!("{other:?}"),
        };
        assert_eq!(unexpected(b"HTTP/1.1 404 Not Found"), (FourCC::new(b"/1.1"), 0));
        assert_eq!(unexpected(&stream(&[(b"moof", 9), (b"moof", 9)])), (FourCC::new(b"moof"), 17));
        assert_eq!(unexpected(b"\0\0\0\x20\0\x01\x02\x03"), (FourCC::new(b"\0\x01\x02\x03"), 0));
        for size in [[0, 0, 0, 0], [0, 0, 0, 7], [0xff, 0, 0, 0]] {
            let bytes = [&size[..], b"moof"].concat();
            assert!(matches!(split_at(&bytes, &[]), Err(SplitError::Size { .. })), "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_units(mut cuts in proptest::collection::vec(0usize..10_000, 0..40)) {
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
