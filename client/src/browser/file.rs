//! Files for the user: made in the page, saved by the browser as a download.

use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Blob, BlobPropertyBag, CanvasRenderingContext2d, HtmlAnchorElement, HtmlCanvasElement, HtmlMediaElement,
    HtmlVideoElement, Url,
};

use super::document;
use super::error::DomError;
use super::timer::Timeout;

/// A download that has not begun by now never will.
const BEGUN_MS: f64 = 60_000.0;

/// The name of a file about a stream: `cam0-2026-11-24T22-36-01Z.png`. Not every file system takes colons.
pub fn name(stream: &str, iso_time: &str, extension: &str) -> String {
    let seconds = iso_time.split('.').next().unwrap_or_default().replace(':', "-");
    format!("{stream}-{seconds}Z.{extension}")
}

/// Makes one of several, put end to end: buffers, views of them, texts, or blobs.
///
/// # Errors
/// If the browser has no room.
pub fn blob(parts: &Array, mime: &str) -> Result<Blob, DomError> {
    let options = BlobPropertyBag::new();
    options.set_type(mime);
    Ok(Blob::new_with_u8_array_sequence_and_options(parts, &options)?)
}

/// Has the browser save it under that name.
///
/// # Errors
/// If the browser does not do that.
pub fn save(blob: &Blob, name: &str) -> Result<(), DomError> {
    let url = Url::create_object_url_with_blob(blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The address holds the blob, and is needed until the download has begun.
    let revoke = Timeout::new(BEGUN_MS, move || drop(Url::revoke_object_url(&url)));
    std::mem::forget(revoke);
    Ok(())
}

/// Has the browser save a text under that name.
///
/// # Errors
/// If the browser does not do that.
pub fn save_text(text: &str, name: &str) -> Result<(), DomError> {
    save(&blob(&Array::of1(&JsValue::from_str(text)), "text/plain")?, name)
}

/// A PNG of the picture that the video shows, or, where it shows none, of the one that lies over it. Tells `on_done`; with
/// nothing where there is no picture.
pub fn snapshot(video: &HtmlVideoElement, over: &HtmlCanvasElement, on_done: impl FnOnce(Option<Blob>) + 'static) {
    let drawn = if over.hidden() { copy_of(video) } else { Some(over.clone()) };
    let Some(canvas) = drawn else { return on_done(None) };
    let callback = Closure::once_into_js(move |blob: Option<Blob>| on_done(blob));
    let _ = canvas.to_blob_with_type(callback.unchecked_ref(), "image/png");
}

fn copy_of(video: &HtmlVideoElement) -> Option<HtmlCanvasElement> {
    if video.video_width() == 0 || video.ready_state() < HtmlMediaElement::HAVE_CURRENT_DATA {
        return None;
    }
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.unchecked_into();
    canvas.set_width(video.video_width());
    canvas.set_height(video.video_height());
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    context.draw_image_with_html_video_element(video, 0.0, 0.0).ok()?;
    Some(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_in_every_file_system() {
        assert_eq!(name("cam0", "2026-11-24T22:36:01.123Z", "png"), "cam0-2026-11-24T22-36-01Z.png");
    }
}
