//! Reads and controls a `<video>`.
//!
//! Web-sys has no `requestVideoFrameCallback` (WICG video-rvfc): this module declares the parts that it uses.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use web_sys::HtmlVideoElement;

use super::error::DomError;
use crate::time::{Moment, Span};

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    #[wasm_bindgen(extends = web_sys::HtmlVideoElement)]
    type FrameVideo;

    #[wasm_bindgen(method, js_name = requestVideoFrameCallback)]
    fn request_video_frame_callback(this: &FrameVideo, callback: &Closure<dyn FnMut(f64, FrameMetadata)>) -> u32;

    #[wasm_bindgen(method, js_name = cancelVideoFrameCallback)]
    fn cancel_video_frame_callback(this: &FrameVideo, handle: u32);

    /// `VideoFrameCallbackMetadata`.
    type FrameMetadata;

    #[wasm_bindgen(method, getter, js_name = mediaTime)]
    fn media_time(this: &FrameMetadata) -> f64;

    #[wasm_bindgen(method, getter, js_name = expectedDisplayTime)]
    fn expected_display_time(this: &FrameMetadata) -> f64;
}

/// The video's `buffered` ranges.
pub fn buffered(video: &HtmlVideoElement) -> Vec<Span> {
    let ranges = video.buffered();
    let span = |index| Some(Span { start: ranges.start(index).ok()?, end: ranges.end(index).ok()? });
    (0..ranges.length()).filter_map(span).collect()
}

/// Starts playback and passes the result to `on_result`.
pub fn play(video: &HtmlVideoElement, on_result: impl FnOnce(Result<(), DomError>) + 'static) {
    match video.play() {
        Ok(promise) => wasm_bindgen_futures::spawn_local(async move {
            let result = wasm_bindgen_futures::JsFuture::from(promise).await;
            on_result(result.map(drop).map_err(DomError::from));
        }),
        Err(thrown) => on_result(Err(thrown.into())),
    }
}

/// Removes the video's source, so that the browser frees its decoder at once and not at its next garbage collection.
pub fn release(video: &HtmlVideoElement) {
    let _ = video.remove_attribute("src");
    video.load();
}

/// The number of frames that the video has presented or dropped (`getVideoPlaybackQuality`).
pub fn frames(video: &HtmlVideoElement) -> u32 {
    video.get_video_playback_quality().total_video_frames()
}

/// The number of frames that the video has decoded, and of those dropped because they were too late.
pub fn quality(video: &HtmlVideoElement) -> (u64, u64) {
    let quality = video.get_video_playback_quality();
    (u64::from(quality.total_video_frames()), u64::from(quality.dropped_video_frames()))
}

/// A presented frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PresentedFrame {
    /// Its time on the video's timeline, in seconds.
    pub position: f64,
    /// When it is on screen: in some browsers one refresh after its presentation.
    pub shown: Moment,
}

/// Reports every presented frame until it is dropped.
#[must_use = "dropping the watch ends it"]
pub struct FrameWatch {
    video: FrameVideo,
    pending: Rc<Cell<Option<u32>>>,
    _callback: Rc<Closure<dyn FnMut(f64, FrameMetadata)>>,
}

impl FrameWatch {
    /// Calls `on_frame` with each presented frame. None if the browser lacks `requestVideoFrameCallback`.
    pub fn new(video: &HtmlVideoElement, on_frame: impl Fn(PresentedFrame) + 'static) -> Option<Self> {
        if !Reflect::has(video, &JsValue::from_str("requestVideoFrameCallback")).unwrap_or(false) {
            return None;
        }
        let video: FrameVideo = video.clone().unchecked_into();
        let pending = Rc::new(Cell::new(None));
        // A request covers one frame; the callback requests the next and therefore needs a reference to itself.
        let callback = Rc::new_cyclic(|itself: &std::rc::Weak<Closure<_>>| {
            let (itself, video, pending) = (itself.clone(), video.clone(), Rc::clone(&pending));
            Closure::new(move |_now: f64, metadata: FrameMetadata| {
                pending.set(itself.upgrade().map(|callback| video.request_video_frame_callback(&callback)));
                let shown = Moment::from_ms(metadata.expected_display_time().max(super::now_ms()));
                on_frame(PresentedFrame { position: metadata.media_time(), shown });
            })
        });
        pending.set(Some(video.request_video_frame_callback(&callback)));
        Some(Self { video, pending, _callback: callback })
    }
}

impl Drop for FrameWatch {
    fn drop(&mut self) {
        if let Some(handle) = self.pending.take() {
            self.video.cancel_video_frame_callback(handle);
        }
    }
}
