//! Handles bytes that stay in the browser.
//!
//! A message's `ArrayBuffer` goes to the SourceBuffer unchanged. Only its first bytes are copied into WebAssembly for parsing.
//! To join several buffers, the browser copies them itself.

use js_sys::{ArrayBuffer, Uint8Array};

/// Copies at most the first `max` bytes.
pub fn head(buffer: &ArrayBuffer, max: usize) -> Vec<u8> {
    let length = buffer.byte_length().min(max as u32);
    Uint8Array::new_with_byte_offset_and_length(buffer, 0, length).to_vec()
}

/// Joins the buffers. A single buffer is returned unchanged.
pub fn join(mut buffers: Vec<ArrayBuffer>) -> ArrayBuffer {
    if buffers.len() == 1
        && let Some(only) = buffers.pop()
    {
        return only;
    }
    let total = buffers.iter().map(ArrayBuffer::byte_length).sum();
    let joined = Uint8Array::new_with_length(total);
    let mut offset = 0;
    for buffer in &buffers {
        joined.set(&Uint8Array::new(buffer), offset);
        offset += buffer.byte_length();
    }
    joined.buffer()
}
