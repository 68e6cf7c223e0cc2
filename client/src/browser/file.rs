//! Creates files in the page and saves them as downloads.

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

/// A download that has not started by now never will.
const BEGUN_MS: f64 = 60_000.0;

/// The name of a file about a stream: `site_cam 1-2026-11-24T22-36-01Z.png`. Characters that some file system forbids become
/// `_` (Windows, "Naming Files, Paths, and Namespaces"), and so does a leading dot, which would hide the file.
pub fn name(stream: &str, iso_time: &str, extension: &str) -> String {
    let seconds = iso_time.split('.').next().unwrap_or_default().replace(':', "-");
    let mut safe = stream.replace(|c: char| c.is_control() || "/\\:*?\"<>|".contains(c), "_");
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    format!("{safe}-{seconds}Z.{extension}")
}

/// Joins buffers, views, texts or blobs into one blob.
///
/// # Errors
/// If the browser has no room.
pub fn blob(parts: &Array, mime: &str) -> Result<Blob, DomError> {
    let options = BlobPropertyBag::new();
    options.set_type(mime);
    Ok(Blob::new_with_u8_array_sequence_and_options(parts, &options)?)
}

/// Downloads a blob under that name.
///
/// # Errors
/// If the browser refuses.
pub fn save(blob: &Blob, name: &str) -> Result<(), DomError> {
    let url = Url::create_object_url_with_blob(blob)?;
    let connection: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    connection.set_href(&url);
    connection.set_download(name);
    connection.click();
    // The address holds the blob, and is needed until the download has started.
    let revoke = Timeout::new(BEGUN_MS, move || drop(Url::revoke_object_url(&url)));
    std::mem::forget(revoke);
    Ok(())
}

/// Downloads a text under that name.
///
/// # Errors
/// If the browser refuses.
pub fn save_text(text: &str, name: &str) -> Result<(), DomError> {
    save(&blob(&Array::of1(&JsValue::from_str(text)), "text/plain")?, name)
}

/// Makes a PNG of the video's current frame, or of the canvas over it while that is visible. Passes it to `on_done`; none if
/// there is no frame.
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
    fn file_names_are_valid_in_every_file_system() {
        for (stream, safe) in [
            ("cam0", "cam0"),
            ("site/cam 1/ü", "site_cam 1_ü"),
            (".hidden/...", "_hidden_..."),
            ("a:*?\"<>|b", "a_______b"),
            ("CON", "CON"),
        ] {
            let expected = format!("{safe}-2026-11-24T22-36-01Z.png");
            assert_eq!(name(stream, "2026-11-24T22:36:01.123Z", "png"), expected);
        }
    }
}
