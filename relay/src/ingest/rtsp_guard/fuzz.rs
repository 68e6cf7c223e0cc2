//! The target `rtsp`: what a camera sends, up to what the RTSP client reads of it.

use bytes::BytesMut;
use tokio::time::Instant;

use super::budget::Budget;
use super::dialogue::Dialogue;
use super::wire::{BODY_MAX, HEAD_MAX, Message};
use super::{Guarded, MediaBudget, Passed, Refusal};
use crate::ingest::fuzz::piece;

/// See [`crate::fuzz`].
pub fn rtsp(data: &[u8]) {
    for method in ["DESCRIBE", "PLAY"] {
        let whole = passed(method, data, data.len().max(1));
        let pieces = passed(method, data, piece(data));
        assert_eq!(whole, pieces);
    }
}

/// What reaches the reader after a request of this `method`, whether the camera was answered, and why it ended. The answer itself contains a random number.
fn passed(method: &str, data: &[u8], size: usize) -> (Vec<u8>, bool, Option<Refusal>) {
    let login = Some(("user".to_owned(), "password".to_owned()));
    let mut guarded = Guarded {
        dialogue: Dialogue::new("rtsp://127.0.0.1:1/key".to_owned(), "rtsp://camera".to_owned(), login),
        budget: Budget::new(),
        media: MediaBudget::Enforced,
        refusal: Default::default(),
    };
    let request = format!("{method} rtsp://127.0.0.1:1/key/a RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    let now = Instant::now();
    guarded.dialogue.request(Message { head: request, body: Default::default() }, now);
    let (mut down, mut passed) = (BytesMut::new(), Passed::default());
    for bytes in data.chunks(size) {
        down.extend_from_slice(bytes);
        if let Err(refusal) = guarded.pass(&mut BytesMut::new(), &mut down, &mut passed, now) {
            return (Vec::new(), false, Some(refusal));
        }
        assert!(down.len() <= HEAD_MAX + BODY_MAX + size, "the buffer is bounded");
    }
    (passed.reader, !passed.camera.is_empty(), None)
}
