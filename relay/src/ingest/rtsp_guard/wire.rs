//! Splits the bytes of an RTSP connection into messages and interleaved packets (RFC 2326, sections 4 and 10.12), within byte
//! budgets. Bytes in, items out; what is incomplete stays in the buffer, which the budgets bound.

use bytes::{Buf, Bytes, BytesMut};

use super::Refusal;

/// The head of a message. Cameras send a few hundred bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// The body of a message, which is the session description. Cameras send 1 to 4 KiB.
pub(super) const BODY_MAX: usize = 256 * 1024;

/// A part of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RtspItem {
    /// An interleaved packet with the four bytes before it.
    Packet(Bytes),
    /// A message.
    Message(Message),
}

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first line and header fields, with the empty line.
    pub(super) head: String,
    /// Its body.
    pub(super) body: Bytes,
}

impl Message {
    /// The first header field of this name, in any case.
    pub(super) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// All header fields of this name, in any case.
    pub(super) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(move |(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The status code, if it is a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.head.strip_prefix("RTSP/")?.split(' ').nth(1)?.trim().parse().ok()
    }

    /// The number of the request, or of the one that it answers.
    pub(super) fn number(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// The next item of `buffer`; none while it is incomplete.
pub(super) fn next_item(buffer: &mut BytesMut) -> Result<Option<RtspItem>, Refusal> {
    // Some cameras send an empty line between messages.
    let empty = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.advance(empty);
    if buffer.first() == Some(&b'$') {
        let Some(&[_, _, high, low]) = buffer.first_chunk() else { return Ok(None) };
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        return Ok((buffer.len() >= length).then(|| RtspItem::Packet(buffer.split_to(length).freeze())));
    }
    let Some(end) = head_end(buffer) else {
        return if buffer.len() > HEAD_MAX { Err(Refusal::Head) } else { Ok(None) };
    };
    if end > HEAD_MAX {
        return Err(Refusal::Head);
    }
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut message = Message { head, body: Bytes::new() };
    let length = message.header("Content-Length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    let length = usize::try_from(length).ok().filter(|&length| length <= BODY_MAX).ok_or(Refusal::Body)?;
    if buffer.len() < end + length {
        return Ok(None);
    }
    buffer.advance(end);
    message.body = buffer.split_to(length).freeze();
    Ok(Some(RtspItem::Message(message)))
}

/// Where the head of a message ends: after an empty line.
fn head_end(buffer: &[u8]) -> Option<usize> {
    let searched = &buffer[..buffer.len().min(HEAD_MAX + 4)];
    let crlf = searched.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    let lf = searched.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(bytes: &[u8], size: usize) -> (Vec<RtspItem>, Option<Refusal>) {
        let (mut buffer, mut items) = (BytesMut::new(), Vec::new());
        for part in bytes.chunks(size) {
            buffer.extend_from_slice(part);
            loop {
                match next_item(&mut buffer) {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(refusal) => return (items, Some(refusal)),
                }
            }
        }
        (items, None)
    }

    #[test]
    fn messages_and_packets_are_told_apart() {
        let bytes = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\ncontent-length: 3\r\n\r\nv=0$\x01\x00\x02ab\r\nRTSP/1.0 401 No\nCSeq: 8\n\n";
        let (items, refusal) = items(bytes, 5);
        assert_eq!(refusal, None);
        let [RtspItem::Message(first), RtspItem::Packet(packet), RtspItem::Message(second)] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!((first.status(), first.number(), &first.body[..]), (Some(200), Some(7), &b"v=0"[..]));
        assert_eq!(&packet[..], b"$\x01\x00\x02ab");
        assert_eq!((second.status(), second.number()), (Some(401), Some(8)));
    }

    #[test]
    fn budgets_are_kept_before_the_bytes_have_come() {
        let long = [b"RTSP/1.0 200 OK\r\nX: ".as_slice(), &[b'x'; HEAD_MAX]].concat();
        assert_eq!(items(&long, 4096).1, Some(Refusal::Head));
        assert_eq!(items(b"RTSP/1.0 200 OK\r\nContent-Length: 262145\r\n\r\n", 64).1, Some(Refusal::Body));
        assert_eq!(items(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", 64).1, None);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_pieces(
            parts in prop::collection::vec(prop_oneof![
                Just(b"$\x00\x00\x03abc".to_vec()),
                Just(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nbody".to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ], 0..8),
            size in 1usize..50,
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(items(&bytes, size), items(&bytes, bytes.len().max(1)));
        }
    }
}
