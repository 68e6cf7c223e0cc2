//! Counts the messages in a WebSocket byte stream (RFC 6455, section 5.2) without storing payload.

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const FINAL: u8 = 0x80;

/// The parser's position in the stream.
#[derive(Debug, Default)]
pub(crate) struct FrameCounter {
    /// The incomplete header.
    header: Vec<u8>,
    /// The remaining payload bytes of the current frame.
    payload: u64,
    /// Whether the current message is binary.
    binary: bool,
    /// Complete binary messages.
    pub(crate) messages: u64,
    /// Text frames, including the pings of `sightline.v1`.
    pub(crate) texts: u64,
}

impl FrameCounter {
    /// Parses the next bytes and passes the payload of binary messages to `media`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut media: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let taken = self.payload.min(bytes.len() as u64);
                self.payload -= taken;
                let (now, rest) = bytes.split_at(taken as usize);
                if self.binary {
                    media(now);
                }
                bytes = rest;
            } else {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                self.read_header();
            }
        }
    }

    fn read_header(&mut self) {
        let length = match *self.header.as_slice() {
            [_, length @ 0..126] => u64::from(length),
            [_, 126, a, b] => u64::from(u16::from_be_bytes([a, b])),
            [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return,
        };
        let first = self.header[0];
        if first & 0x0f != 0 {
            self.binary = first & 0x0f == BINARY;
            self.texts += u64::from(first & 0x0f == TEXT);
        }
        if first & FINAL != 0 && self.binary {
            self.messages += 1;
        }
        self.payload = length;
        self.header.clear();
    }
}

/// A text frame as a client sends it, with a mask of zeros. No intermediary lies between the bench and the server.
///
/// # Panics
/// For a text of more than 125 bytes.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|&length| length < 126).expect("a short text");
    [&[FINAL | 1, FINAL | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_arrive() {
        let mut stream = vec![FINAL | 1, 2, b'h', b'i', FINAL | BINARY, 126, 1, 0];
        stream.extend([0; 256]);
        stream.extend([FINAL | BINARY, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        stream.extend(vec![0; 65_536]);
        stream.extend([BINARY, 1, 0, FINAL, 1, 0]);
        for chunk in [1, 7, 100_000] {
            let (mut counter, mut payload) = (FrameCounter::default(), 0);
            stream.chunks(chunk).for_each(|bytes| counter.feed(bytes, |media| payload += media.len()));
            assert_eq!((counter.messages, counter.texts, payload), (3, 1, 65_794), "in chunks of {chunk}");
        }
    }
}
