//! A real stream to append, and helpers that wait for the browser.

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use sightline_client::browser::{document, now, window};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlVideoElement;

/// See `fixtures/README.md`.
const H264: &[u8] = include_bytes!("fixtures/h264.mp4");
pub(crate) const MIME: &str = "video/mp4; codecs=\"avc1.42C00B\"";
pub(crate) const TIMESCALE: u32 = 12_800;

/// Longer than any step takes on a busy machine.
const PATIENCE_MS: f64 = 10_000.0;

/// The init segment and the fragments, one frame each.
pub(crate) fn stream() -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut init, mut fragments, mut rest) = (Vec::new(), Vec::<Vec<u8>>::new(), H264);
    while let Some((size, _)) = rest.split_first_chunk::<4>() {
        let (whole, after) = rest.split_at(u32::from_be_bytes(*size) as usize);
        match &whole[4..8] {
            b"ftyp" | b"moov" => init.extend_from_slice(whole),
            b"moof" => fragments.push(whole.to_vec()),
            b"mdat" => fragments.last_mut().expect("moof before mdat").extend_from_slice(whole),
            _ => {}
        }
        rest = after;
    }
    (init, fragments)
}

pub(crate) fn buffer(bytes: &[u8]) -> ArrayBuffer {
    Uint8Array::from(bytes).buffer()
}

/// A muted video in the page, removed on drop.
pub(crate) struct Video(pub(crate) HtmlVideoElement);

impl Video {
    pub(crate) fn new() -> Self {
        let video: HtmlVideoElement = document().create_element("video").unwrap().unchecked_into();
        video.set_muted(true);
        // First in the page: in some browsers the test runner's output fills the viewport, and elements below it are invisible.
        document().body().unwrap().prepend_with_node_1(&video).unwrap();
        Self(video)
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        self.0.remove();
    }
}

pub(crate) async fn sleep(ms: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms).unwrap();
    });
    JsFuture::from(promise).await.unwrap();
}

/// Waits until `met`, and panics with `what` after a timeout.
pub(crate) async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let start = now();
    while !met() {
        assert!(now().ms_since(start) < PATIENCE_MS, "waited in vain: {what}");
        sleep(5).await;
    }
}
