//! Bindings to the browser, each a guard: what it registers when it is made it unregisters when it is dropped.
//!
//! | module | what it wraps |
//! | --- | --- |
//! | [`mailbox`] | events from anywhere, handled one after another by one owner |
//! | [`listener`], [`timer`] | event listeners, intervals and timeouts |
//! | [`socket`] | a WebSocket of binary `ArrayBuffer`s |
//! | [`hls`], [`peer`] | hls.js, and a WebRTC connection set up by WHEP |
//! | [`media_source`], [`source_buffer`] | MediaSource or ManagedMediaSource, and its SourceBuffer |
//! | [`on_screen`], [`resize`] | whether an element can be seen, and how large it is |
//! | [`video`], [`curtain`] | what a `<video>` tells and takes, and the picture that lies over it |
//! | [`display`] | pictures that fill the screen, or float |
//! | [`storage`], [`file`] | what the browser keeps, and saves for the user |
//! | [`abilities`] | what this browser can do |
//! | [`bytes`] | reading the head of an `ArrayBuffer`, and joining several, without copying media into WebAssembly |
//! | [`error`] | exceptions of the DOM, by kind |
//!
//! Beside them this module has the page itself: clocks, visibility, address, marks.

use js_sys::Reflect;
use sightline_protocol::stream::StreamName;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, HtmlVideoElement, Performance, UrlSearchParams, VisibilityState, Window};

use crate::time::Moment;

pub mod abilities;
pub mod bytes;
pub mod curtain;
pub mod display;
pub mod error;
pub mod file;
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

/// `wifi`, `ethernet`, `cellular` and such, in browsers that tell (Network Information API, `NetworkInformation.type`).
pub fn connection_kind() -> Option<String> {
    let get = |of: &JsValue, name: &str| Reflect::get(of, &JsValue::from_str(name)).ok();
    get(&get(&window().navigator(), "connection")?, "type")?.as_string()
}

/// The present moment.
pub fn now() -> Moment {
    Moment::from_ms(now_ms())
}

/// Milliseconds since the Unix epoch, in fractions: steadier than `Date.now()`, which has whole milliseconds only.
pub fn unix_ms() -> f64 {
    unix_ms_at(now())
}

/// The same at another moment.
pub fn unix_ms_at(moment: Moment) -> f64 {
    performance().time_origin() + moment.seconds() * 1e3
}

/// Whether anyone can see what this video shows: the page is visible, or the video floats above all pages
/// (Picture-in-Picture API, `document.pictureInPictureElement`).
pub fn is_seen(video: &HtmlVideoElement) -> bool {
    document().visibility_state() == VisibilityState::Visible || display::floats(video)
}

/// Whether the page is the one that comes with this module.
pub fn is_own_page() -> bool {
    document().body().is_some_and(|body| body.has_attribute("data-sightline"))
}

/// The path of the page's address.
pub fn path() -> String {
    window().location().pathname().unwrap_or_default()
}

/// A time in milliseconds since the Unix epoch, as ISO 8601 writes it, in UTC.
pub fn iso_time(unix_ms: f64) -> String {
    String::from(js_sys::Date::new(&JsValue::from_f64(unix_ms)).to_iso_string())
}

/// The parameters of the page's address, decoded.
pub fn parameters() -> Vec<(String, String)> {
    let search = window().location().search().unwrap_or_default();
    let Ok(parameters) = UrlSearchParams::new_with_str(&search) else { return Vec::new() };
    let pairs = js_sys::try_iter(&parameters).ok().flatten().into_iter().flatten().flatten();
    let text = |pair: &js_sys::Array, index| pair.get(index).as_string().unwrap_or_default();
    pairs.filter_map(|pair| pair.dyn_into().ok()).map(|pair| (text(&pair, 0), text(&pair, 1))).collect()
}

/// Where the WebSockets are when they are not where the page came from, as under Trunk's development server: it drops
/// the subprotocol from a proxied answer, which browsers then refuse.
const RELAY: Option<&str> = option_env!("SIGHTLINE_RELAY");

/// An address below the relay's, which is at `relay`, or served the page.
///
/// # Errors
/// If `relay` is no address, or the page has none, as in a sandboxed frame.
pub fn relay_url(path: &str, relay: Option<&str>) -> Result<String, error::DomError> {
    let base = match relay {
        Some(relay) => relay.to_owned(),
        None => document().base_uri()?.unwrap_or_default(),
    };
    Ok(web_sys::Url::new_with_base(path, &base)?.href())
}

/// A relay, and what it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relay {
    /// Its address, where it is another than the page's.
    pub url: Option<String>,
    /// The access token, where the page has no cookie of the relay's.
    pub token: Option<String>,
}

impl Relay {
    /// An address below the relay's, with the token: not every way of a stream has headers.
    ///
    /// # Errors
    /// As [`relay_url`].
    pub fn address(&self, path: &str) -> Result<String, error::DomError> {
        self.with_token(&relay_url(path, self.url.as_deref())?).map(|url| url.href())
    }

    /// The address of a stream's WebSocket.
    ///
    /// # Errors
    /// As [`relay_url`].
    pub fn stream_url(&self, stream: &StreamName) -> Result<String, error::DomError> {
        let url = self.with_token(&relay_url(&format!("ws/mse/{stream}"), self.url.as_deref().or(RELAY))?)?;
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

/// Records a User Timing mark of a stream, `sightline:NAME:WHAT`, in place of the one before.
pub fn mark(stream: &StreamName, what: &str) {
    let name = format!("sightline:{stream}:{what}");
    performance().clear_marks_with_mark_name(&name);
    // A mark that cannot be recorded is no reason to stop playing.
    let _ = performance().mark(&name);
}

/// Puts a text into the clipboard, within a user's action. Returns whether there is one.
pub fn copy(text: &str) -> bool {
    if !window().is_secure_context() {
        return false;
    }
    let written = window().navigator().clipboard().write_text(text);
    // A promise that nobody handles is reported when it is refused.
    wasm_bindgen_futures::spawn_local(async move { drop(wasm_bindgen_futures::JsFuture::from(written).await) });
    true
}

/// A line in the browser's console, for whoever looks there.
pub fn warn(text: &str) {
    web_sys::console::warn_1(&JsValue::from_str(text));
}

/// Writes panics to the browser's console: without it they are a bare "unreachable executed".
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&JsValue::from_str(&info.to_string()))));
}
