//! Bindings to the browser. Each is a guard: dropping it unregisters what it registered.
//!
//! | module | role |
//! | --- | --- |
//! | [`mailbox`] | queues events from any callback for one owner, which handles one at a time |
//! | [`listener`], [`timer`] | event listeners, intervals and timeouts |
//! | [`socket`] | a WebSocket of binary `ArrayBuffer`s |
//! | [`hls`], [`peer`] | hls.js, and a WebRTC connection negotiated by WHEP |
//! | [`media_source`], [`source_buffer`] | MediaSource or ManagedMediaSource, and its SourceBuffer |
//! | [`on_screen`], [`resize`] | whether an element is within the viewport, and its size |
//! | [`video`], [`frame_canvas`] | the state of a `<video>`, and the last frame shown over it |
//! | [`video_decoder`] | a WebCodecs decoder and its frames |
//! | [`display`] | fullscreen and picture-in-picture |
//! | [`storage`], [`file`] | localStorage, and downloads |
//! | [`abilities`] | the interfaces and codecs of this browser |
//! | [`bytes`] | reads the head of an `ArrayBuffer`, and joins several, without copying media into WebAssembly |
//! | [`error`] | exceptions of the DOM, by kind |
//!
//! This module also covers the page itself: clocks, visibility, address, marks.

use js_sys::{JsString, Reflect};
use sightline_protocol::address::Address;
use sightline_protocol::stream::StreamName;
use sightline_protocol::{SUBPROTOCOL, SUBPROTOCOL_PARAMETER};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, HtmlVideoElement, Performance, UrlSearchParams, VisibilityState, Window};

use crate::time::Moment;

pub mod abilities;
pub mod bytes;
pub mod display;
pub mod error;
pub mod file;
pub mod frame_canvas;
pub mod hls;
pub mod listener;
pub mod mailbox;
pub mod media_source;
pub mod on_screen;
pub mod peer;
pub mod resize;
pub mod socket;
pub mod source_buffer;
pub mod storage;
pub mod timer;
pub mod video;
pub mod video_decoder;
pub mod video_track;

/// The page's window.
pub fn window() -> Window {
    web_sys::window().expect("the client runs in a page, not in a worker")
}

/// The page's document.
pub fn document() -> Document {
    window().document().expect("a page has a document")
}

fn performance() -> Performance {
    window().performance().expect("every browser with MediaSource has performance.now()")
}

/// Milliseconds since the page began.
fn now_ms() -> f64 {
    performance().now()
}

/// The kind of connection, such as `wifi`, `ethernet` or `cellular`, in browsers that expose it (Network Information API,
/// `NetworkInformation.type`).
pub fn connection_kind() -> Option<String> {
    let get = |of: &JsValue, name: &str| Reflect::get(of, &JsValue::from_str(name)).ok();
    get(&get(&window().navigator(), "connection")?, "type")?.as_string()
}

/// The current moment.
pub fn now() -> Moment {
    Moment::from_ms(now_ms())
}

/// Milliseconds since the Unix epoch, with fractions; `Date.now()` has whole milliseconds only.
pub fn unix_ms() -> f64 {
    unix_ms_at(now())
}

/// The same at another moment.
pub fn unix_ms_at(moment: Moment) -> f64 {
    performance().time_origin() + moment.seconds() * 1e3
}

/// Whether the video can be visible: the page is visible, or the video is in a picture-in-picture window (Picture-in-Picture
/// API, `document.pictureInPictureElement`).
pub fn is_seen(video: &HtmlVideoElement) -> bool {
    document().visibility_state() == VisibilityState::Visible || display::is_picture_in_picture(video)
}

/// Whether the page is Sightline's own.
pub fn is_own_page() -> bool {
    document().body().is_some_and(|body| body.has_attribute("data-sightline"))
}

/// The path of the page's address.
pub fn path() -> String {
    window().location().pathname().unwrap_or_default()
}

/// Formats milliseconds since the Unix epoch in ISO 8601, in UTC.
pub fn iso_time(unix_ms: f64) -> String {
    String::from(js_sys::Date::new(&JsValue::from_f64(unix_ms)).to_iso_string())
}

/// The parameters of the page's address, decoded and, like stream names, in Unicode Normalization Form C.
pub fn parameters() -> Vec<(String, String)> {
    let search = window().location().search().unwrap_or_default();
    let Ok(parameters) = UrlSearchParams::new_with_str(&search) else { return Vec::new() };
    let pairs = js_sys::try_iter(&parameters).ok().flatten().into_iter().flatten().flatten();
    let text = |pair: &js_sys::Array, index| {
        pair.get(index).dyn_into().map_or_else(|_| String::new(), |text: JsString| text.normalize("NFC").into())
    };
    pairs.filter_map(|pair| pair.dyn_into().ok()).map(|pair| (text(&pair, 0), text(&pair, 1))).collect()
}

/// Resolves a path against the relay's address: `relay`, or else the page's base address.
///
/// # Errors
/// If `relay` is not an address, or the page has none, as in a sandboxed frame.
pub fn relay_url(path: &str, relay: Option<&str>) -> Result<String, error::DomError> {
    let base = match relay {
        Some(relay) => relay.to_owned(),
        None => document().base_uri()?.unwrap_or_default(),
    };
    Ok(web_sys::Url::new_with_base(path, &base)?.href())
}

/// A relay, and the access token for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relay {
    /// Its address, if it differs from the page's.
    pub url: Option<String>,
    /// The access token, if the page has no cookie of the relay.
    pub token: Option<String>,
}

impl Relay {
    /// Resolves a path against the relay's address and adds the token: not every protocol can send headers.
    ///
    /// # Errors
    /// As [`relay_url`].
    pub fn address(&self, path: &str) -> Result<String, error::DomError> {
        self.with_token(&relay_url(path, self.url.as_deref())?).map(|url| url.href())
    }

    /// The address of a stream's WebSocket. It names the subprotocol in the query, which every proxy forwards.
    ///
    /// # Errors
    /// As [`relay_url`].
    pub fn stream_url(&self, stream: &StreamName) -> Result<String, error::DomError> {
        let path = Address::WebSocket(stream.clone()).to_string();
        let url = self.with_token(&relay_url(&path, self.url.as_deref())?)?;
        url.search_params().append(SUBPROTOCOL_PARAMETER, SUBPROTOCOL);
        url.set_protocol(if url.protocol() == "https:" { "wss:" } else { "ws:" });
        Ok(url.href())
    }

    fn with_token(&self, url: &str) -> Result<web_sys::Url, error::DomError> {
        let url = web_sys::Url::new(url)?;
        if let Some(token) = &self.token {
            url.search_params().append("token", token);
        }
        Ok(url)
    }
}

/// Records a User Timing mark of a stream, `sightline:NAME:WHAT`, and replaces the previous one.
pub fn mark(stream: &StreamName, what: &str) {
    let name = format!("sightline:{stream}:{what}");
    performance().clear_marks_with_mark_name(&name);
    // Playback continues if the mark cannot be recorded.
    let _ = performance().mark(&name);
}

/// Copies a text to the clipboard, within a user's gesture. Returns whether the page has a clipboard.
pub fn copy(text: &str) -> bool {
    if !window().is_secure_context() {
        return false;
    }
    let written = window().navigator().clipboard().write_text(text);
    // The browser reports an unhandled promise when it is rejected.
    wasm_bindgen_futures::spawn_local(async move { drop(wasm_bindgen_futures::JsFuture::from(written).await) });
    true
}

/// Writes a warning to the browser's console.
pub fn warn(text: &str) {
    web_sys::console::warn_1(&JsValue::from_str(text));
}

/// Writes panics to the browser's console: otherwise they appear as a bare "unreachable executed".
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&JsValue::from_str(&info.to_string()))));
}
