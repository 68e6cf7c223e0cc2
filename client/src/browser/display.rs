//! Shows a video in fullscreen or picture-in-picture.
//!
//! Web-sys has neither the Picture-in-Picture API (W3C) nor the iPhone's substitute for the Fullscreen API. This module
//! declares the parts that it uses.

use js_sys::Reflect;
use sightline_protocol::message::Size;
use wasm_bindgen::prelude::*;
use web_sys::{Document, Element, HtmlVideoElement};

use super::{document, window};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = web_sys::HtmlVideoElement)]
    type FloatingVideo;

    #[wasm_bindgen(method, catch, js_name = requestPictureInPicture)]
    fn request_picture_in_picture(this: &FloatingVideo) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = webkitEnterFullscreen)]
    fn webkit_enter_fullscreen(this: &FloatingVideo) -> Result<(), JsValue>;

    #[wasm_bindgen(extends = web_sys::Document)]
    type FloatingDocument;

    #[wasm_bindgen(method, catch, js_name = exitPictureInPicture)]
    fn exit_picture_in_picture(this: &FloatingDocument) -> Result<JsValue, JsValue>;
}

fn property(document: &Document, name: &str) -> JsValue {
    Reflect::get(document, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// The size of the place that a video or its canvas fills on the page, in device pixels; 0 x 0 if it is hidden.
pub fn size(video: &HtmlVideoElement) -> Size {
    let ratio = window().device_pixel_ratio();
    let pixels = |length: i32| (f64::from(length) * ratio).round() as u16;
    let place = video.parent_element();
    place.map_or(Size { width: 0, height: 0 }, |place| Size {
        width: pixels(place.client_width()),
        height: pixels(place.client_height()),
    })
}

/// Whether the browser has picture-in-picture.
pub fn can_float() -> bool {
    property(&document(), "pictureInPictureEnabled").is_truthy()
}

/// Whether this video is in picture-in-picture.
pub fn is_picture_in_picture(video: &HtmlVideoElement) -> bool {
    property(&document(), "pictureInPictureElement").loose_eq(video)
}

/// Enters or leaves picture-in-picture, within a user's gesture. A refusal by the browser is ignored.
pub fn toggle_picture_in_picture(video: &HtmlVideoElement) {
    let result = if is_picture_in_picture(video) {
        document().unchecked_into::<FloatingDocument>().exit_picture_in_picture()
    } else {
        video.unchecked_ref::<FloatingVideo>().request_picture_in_picture()
    };
    ignore(result);
}

/// Enters or leaves fullscreen, within a user's gesture. A refusal by the browser is ignored.
pub fn fill_screen(element: &Element, video: &HtmlVideoElement) {
    if document().fullscreen_element().is_some() {
        return document().exit_fullscreen();
    }
    // The iPhone has fullscreen for videos only.
    if element.request_fullscreen().is_err() {
        let _ = video.unchecked_ref::<FloatingVideo>().webkit_enter_fullscreen();
    }
}

/// The browser reports an unhandled promise when it is rejected.
fn ignore(promise: Result<JsValue, JsValue>) {
    if let Some(promise) = promise.ok().and_then(|value| value.dyn_into::<js_sys::Promise>().ok()) {
        wasm_bindgen_futures::spawn_local(async move { drop(wasm_bindgen_futures::JsFuture::from(promise).await) });
    }
}
