//! Messages of the cluster as NATS payloads: a binary header, and splitting into chunks below the server's `max_payload`.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0 | version |
//! | 1 | [`PacketKind`] |
//! | 2..10 | run: the publication that numbers the message |
//! | 10..18 | number of the message in its run |
//! | 18..20 | index of the chunk |
//! | 20..22 | number of chunks of the message |
//!
//! All are big-endian. NATS keeps the order of one publisher on one subject, so the chunks of a message come one after the other,
//! and a lost one is a gap. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// The version of the messages. A relay ignores messages of another version.
pub(super) const VERSION: u8 = 1;
/// Bytes of the header.
pub(super) const HEADER: usize = 22;
/// Maximum bytes of a chunk, with its header. A large key frame then shares the connection with the frames of other streams, and the
/// queue of a connection, which counts messages, is bounded in bytes.
const CHUNK_MAX: usize = 128 * 1024;
/// Minimum bytes of a chunk's payload, for a server that announces less than anything can be sent with.
const CHUNK_MIN: usize = 512;
/// Maximum bytes of a message, as of a box of FFmpeg's output.
const MESSAGE_MAX: usize = 32 * 1024 * 1024;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PacketKind {
    /// A relay and its streams.
    Announcement = 1,
    /// The status of a rendition.
    Status = 2,
    /// A new epoch.
    Init = 3,
    /// A fragment.
    Fragment = 4,
    /// The head of the answer to a join.
    Snapshot = 5,
}

impl PacketKind {
    const ALL: [Self; 5] = [Self::Announcement, Self::Status, Self::Init, Self::Fragment, Self::Snapshot];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: PacketKind,
    pub(super) run: u64,
    pub(super) number: u64,
    pub(super) payload: Bytes,
}

/// Why a payload is not a chunk of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// The payload has no header.
    #[error("a message without a header")]
    Short,
    /// The version is not [`VERSION`].
    #[error("a message of version {0}; this relay speaks version {VERSION}: run the same release on all relays")]
    Version(u8),
    /// A kind or a chunk that does not exist.
    #[error("a message that cannot be read")]
    Malformed,
    /// The message exceeds [`MESSAGE_MAX`].
    #[error("a message of more than {MESSAGE_MAX} bytes")]
    TooLarge,
}

impl Packet {
    /// The message in chunks of at most `max_payload` bytes.
    pub(super) fn chunks(&self, max_payload: usize) -> impl Iterator<Item = Bytes> {
        let size = max_payload.min(CHUNK_MAX).saturating_sub(HEADER).max(CHUNK_MIN);
        let count = self.payload.len().div_ceil(size).max(1);
        (0..count).map(move |index| {
            let (start, end) = (index * size, ((index + 1) * size).min(self.payload.len()));
            let mut chunk = BytesMut::with_capacity(HEADER + end - start);
            chunk.put_u8(VERSION);
            chunk.put_u8(self.kind as u8);
            chunk.put_u64(self.run);
            chunk.put_u64(self.number);
            // MESSAGE_MAX in chunks of CHUNK_MIN still has a number of 16 bits.
            chunk.put_u16(index as u16);
            chunk.put_u16(count as u16);
            chunk.put_slice(&self.payload[start..end]);
            chunk.freeze()
        })
    }
}

/// Joins the chunks of one publisher on one subject.
#[derive(Debug, Default)]
pub(super) struct Reassembler {
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    /// Kind, run and number.
    message: (PacketKind, u64, u64),
    next: u16,
    chunks: u16,
    payload: BytesMut,
}

impl Reassembler {
    /// Takes the next chunk. Returns the message that it completes. A message with a missing chunk is left out.
    pub(super) fn push(&mut self, chunk: &Bytes) -> Result<Option<Packet>, WireError> {
        let before = self.partial.take();
        let header = chunk.get(..HEADER).ok_or(WireError::Short)?;
        if header[0] != VERSION {
            return Err(WireError::Version(header[0]));
        }
        let kind = PacketKind::of(header[1]).ok_or(WireError::Malformed)?;
        let (run, number) = (u64_at(header, 2), u64_at(header, 10));
        let [index, chunks] = [18, 20].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        if index >= chunks {
            return Err(WireError::Malformed);
        }
        let body = chunk.slice(HEADER..);
        if chunks == 1 {
            return Ok(Some(Packet { kind, run, number, payload: body }));
        }
        let message = (kind, run, number);
        let mut partial = match before {
            Some(partial) if index > 0 => partial,
            _ => Partial { message, next: 0, chunks, payload: BytesMut::new() },
        };
        if (partial.message, partial.next, partial.chunks) != (message, index, chunks) {
            return Ok(None);
        }
        if partial.payload.len() + body.len() > MESSAGE_MAX {
            return Err(WireError::TooLarge);
        }
        partial.payload.put(body);
        partial.next += 1;
        if partial.next < chunks {
            self.partial = Some(partial);
            return Ok(None);
        }
        Ok(Some(Packet { kind, run, number, payload: partial.payload.freeze() }))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(number: u64, length: usize) -> Packet {
        let payload = (0..length).map(|n| (n as u64 + number) as u8).collect::<Vec<_>>().into();
        Packet { kind: PacketKind::Fragment, run: 0x0102_0304_0506_0708, number, payload }
    }

    #[test]
    fn header_matches_its_table() {
        let chunk = packet(9, 2).chunks(1024).next().unwrap();
        let header = [1, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1];
        assert_eq!((&chunk[..HEADER], &chunk[HEADER..]), (&header[..], &[9, 10][..]));
    }

    #[test]
    fn chunks_stay_below_the_server_s_limit() {
        for (length, max_payload, count) in
            [(0, 65_536, 1), (65_514, 65_536, 1), (65_515, 65_536, 2), (2 << 20, 65_536, 33)]
        {
            let chunks: Vec<_> = packet(1, length).chunks(max_payload).collect();
            assert_eq!(chunks.len(), count, "{length}");
            assert!(chunks.iter().all(|chunk| chunk.len() <= max_payload));
        }
        assert!(packet(1, 4 << 20).chunks(8 << 20).all(|chunk| chunk.len() <= CHUNK_MAX));
    }

    #[test]
    fn message_with_a_lost_chunk_is_left_out_and_the_next_one_is_not() {
        let mut chunks: Vec<_> = packet(1, 3000).chunks(1024).collect();
        chunks.remove(1);
        chunks.extend(packet(2, 3000).chunks(1024));
        let mut reassembler = Reassembler::default();
        let got: Vec<_> = chunks.iter().filter_map(|chunk| reassembler.push(chunk).unwrap()).collect();
        assert_eq!(got, [packet(2, 3000)]);
    }

    #[test]
    fn foreign_payloads_are_errors() {
        let mut reassembler = Reassembler::default();
        let mut chunk = packet(1, 1).chunks(1024).next().unwrap().to_vec();
        assert_eq!(reassembler.push(&Bytes::from_static(b"hello")), Err(WireError::Short));
        chunk[21] = 0;
        assert_eq!(reassembler.push(&chunk.clone().into()), Err(WireError::Malformed));
        chunk[1] = 77;
        assert_eq!(reassembler.push(&chunk.clone().into()), Err(WireError::Malformed));
        chunk[0] = 2;
        assert_eq!(reassembler.push(&chunk.into()), Err(WireError::Version(2)));
    }

    proptest! {
        #[test]
        fn every_message_comes_out_as_it_went_in(lengths in prop::collection::vec(0usize..5000, 1..10), max in 0usize..3000) {
            let packets: Vec<_> = lengths.iter().enumerate().map(|(n, length)| packet(n as u64, *length)).collect();
            let mut reassembler = Reassembler::default();
            let chunks = packets.iter().flat_map(|packet| packet.chunks(max).collect::<Vec<_>>());
            let got: Vec<_> = chunks.filter_map(|chunk| reassembler.push(&chunk).unwrap()).collect();
            prop_assert_eq!(got, packets);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10)) {
            let mut reassembler = Reassembler::default();
            for payload in payloads {
                let _ = reassembler.push(&[&[VERSION][..], &payload].concat().into());
            }
        }
    }
}
