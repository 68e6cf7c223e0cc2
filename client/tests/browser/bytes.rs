use js_sys::{ArrayBuffer, Object, Uint8Array};
use sightline_client::browser::bytes::{head, join};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::fixture::buffer;

fn bytes(buffer: &ArrayBuffer) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}

#[wasm_bindgen_test]
fn head_has_at_most_the_requested_length() {
    let long = buffer(&[7; 1000]);
    assert_eq!(head(&long, 512), [7; 512]);
    assert_eq!(head(&buffer(&[1, 2, 3]), 512), [1, 2, 3]);
    assert!(head(&buffer(&[]), 512).is_empty());
}

#[wasm_bindgen_test]
fn joining_keeps_every_byte_in_order() {
    let parts = [vec![1, 2, 3], vec![], vec![4], (5..=255).collect::<Vec<u8>>()];
    let joined = join(parts.iter().map(|part| buffer(part)).collect());
    assert_eq!(bytes(&joined), parts.concat());
    assert_eq!(joined.byte_length(), 255);
}

#[wasm_bindgen_test]
fn single_buffer_is_not_copied() {
    let only = buffer(&[1, 2, 3]);
    assert!(Object::is(&join(vec![only.clone()]), &only));
}
