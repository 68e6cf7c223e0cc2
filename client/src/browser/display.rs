//! Showing a picture larger than its page, or outside of it.
//!
//! Web-sys has no Picture-in-Picture API (W3C), and none of what the iPhone has in place of the Fullscreen API: what is
//! needed of them is declared here.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use web_sys::{Document, Element, HtmlVideoElement};

use super::document;

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

/// Whether pictures can float above all windows.
pub fn can_float() -> bool {
    property(&document(), "pictureInPictureEnabled").is_truthy()
}

/// Whether this picture floats.
pub fn floats(video: &HtmlVideoElement) -> bool {
    property(&document(), "pictureInPictureElement").loose_eq(video)
}

/// Lets the picture float, or takes it back. Within a user's action. What the browser refuses does not happen.
pub fn float(video: &HtmlVideoElement) {
    let result = if floats(video) {
        document().unchecked_into::<FloatingDocument>().exit_picture_in_picture()
    } else {
        video.unchecked_ref::<FloatingVideo>().request_picture_in_picture()
    };
    ignore(result);
}

/// Lets an element fill the screen, or takes it back. Within a user's action. What the browser refuses does not happen.
pub fn fill_screen(element: &Element, video: &HtmlVideoElement) {
    if document().fullscreen_element().is_some() {
        return document().exit_fullscreen();
    }
    // The iPhone fills the screen with videos only.
    if element.request_fullscreen().is_err() {
        let _ = video.unchecked_ref::<FloatingVideo>().webkit_enter_fullscreen();
    }
}

/// A promise that nobody handles is reported when it is refused.
fn ignore(promise: Result<JsValue, JsValue>) {
    if let Some(promise) = promise.ok().and_then(|value| value.dyn_into::<js_sys::Promise>().ok()) {
        wasm_bindgen_futures::spawn_local(async move { drop(wasm_bindgen_futures::JsFuture::from(promise).await) });
    }
}
