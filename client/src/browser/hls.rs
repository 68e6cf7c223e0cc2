//! Binds hls.js, which plays HLS where the browser does not, and better than some that do. The script is loaded on first use:
//! most viewers never need it.

use std::cell::RefCell;

use js_sys::{Array, Date, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlVideoElement};

use super::error::DomError;
use super::{document, unix_ms, window};

#[wasm_bindgen]
extern "C" {
    /// `Hls` of hls.js (its API.md).
    #[derive(Clone)]
    type Hls;

    #[wasm_bindgen(method, js_name = attachMedia)]
    fn attach_media(this: &Hls, video: &HtmlVideoElement);

    #[wasm_bindgen(method, js_name = loadSource)]
    fn load_source(this: &Hls, url: &str);

    #[wasm_bindgen(method)]
    fn on(this: &Hls, event: &str, callback: &JsValue);

    #[wasm_bindgen(method, js_name = startLoad)]
    fn start_load(this: &Hls);

    #[wasm_bindgen(method, js_name = stopLoad)]
    fn stop_load(this: &Hls);

    #[wasm_bindgen(method, js_name = recoverMediaError)]
    fn recover_media_error(this: &Hls);

    #[wasm_bindgen(method)]
    fn destroy(this: &Hls);

    #[wasm_bindgen(method, getter, js_name = playingDate)]
    fn playing_date(this: &Hls) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = liveSyncPosition)]
    fn live_sync_position(this: &Hls) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = currentLevel)]
    fn current_level(this: &Hls) -> i32;

    #[wasm_bindgen(method, getter)]
    fn levels(this: &Hls) -> Array;
}

/// An event of the player or of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum HlsEvent {
    /// The result of the playlist request: the status, and the response's text. None if the relay cannot be reached.
    Answered(Option<(u16, String)>),
    /// hls.js was loaded, or failed to load.
    Loaded(Result<Script, String>),
    /// The player switched to another variant.
    Level(HlsLevel),
    /// This many more bytes were received.
    Received(u64),
    /// The relay answered a request for its time. Each time is on its own side's clock, in milliseconds since the Unix epoch.
    Time {
        /// When the request was sent.
        sent: f64,
        /// The relay's time.
        at: f64,
        /// When the answer arrived.
        received: f64,
    },
    /// A request for a playlist or a segment failed; hls.js retries by itself.
    Hitch,
    /// A fatal network error: a playlist or a segment cannot be loaded.
    Network(String),
    /// A fatal media error: the browser cannot decode the stream.
    Media(String),
}

/// A variant in the multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HlsLevel {
    /// The address of its playlist.
    pub url: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// In pixels; zero if the playlist does not state it.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// The constructor that the script defines.
#[derive(Debug, Clone, PartialEq)]
pub struct Script(Function);

thread_local! {
    /// Shared by all tiles.
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// The controllers of hls.js for what cameras do not have.
const UNUSED: [&str; 7] = [
    "subtitleStreamController",
    "subtitleTrackController",
    "timelineController",
    "emeController",
    "cmcdController",
    "iframeController",
    "interstitialsController",
];
/// The controllers of a group of audio renditions.
const AUDIO: [&str; 2] = ["audioStreamController", "audioTrackController"];

/// Whether a multivariant playlist has a group of audio renditions.
pub fn has_audio(playlist: &str) -> bool {
    playlist.contains("#EXT-X-MEDIA:TYPE=AUDIO")
}

/// Loads the script from this address, unless it is already loaded.
///
/// # Errors
/// One sentence for the user, if the browser cannot load it.
pub async fn load(url: &str) -> Result<Script, String> {
    if let Some(script) = SCRIPT.with_borrow(Clone::clone) {
        return Ok(script);
    }
    let failed = |_| "The browser could not load the HLS player from the relay.".to_owned();
    let (window, name) = (window(), JsValue::from_str("Hls"));
    // A foreign page may have its own hls.js: its global name is restored afterwards.
    let before = Reflect::get(&window, &name).unwrap_or(JsValue::UNDEFINED);
    JsFuture::from(element(url).map_err(failed)?).await.map_err(failed)?;
    let loaded = Reflect::get(&window, &name).map_err(failed)?;
    let _ = Reflect::set(&window, &name, &before);
    let script = Script(loaded.dyn_into().map_err(failed)?);
    SCRIPT.set(Some(script.clone()));
    Ok(script)
}

/// Requests the relay's time. Returns when the request was sent, the relay's time, and when the answer arrived.
pub async fn time(url: &str) -> Option<(f64, f64, f64)> {
    let sent = unix_ms();
    let answer: serde_json::Value = gloo_net::http::Request::get(url).send().await.ok()?.json().await.ok()?;
    Some((sent, answer.get("unix_ms")?.as_f64()?, unix_ms()))
}

/// Inserts a script element. The promise resolves when the script has run.
fn element(url: &str) -> Result<Promise, JsValue> {
    let script: Element = document().create_element("script")?;
    script.set_attribute("src", url)?;
    let promise = Promise::new(&mut |resolve, reject| {
        for (event, callback) in [("load", resolve), ("error", reject)] {
            let _ = script.add_event_listener_with_callback(event, &callback);
        }
    });
    document().head().ok_or(JsValue::NULL)?.append_child(&script)?;
    Ok(promise)
}

/// Converts the data of an hls.js event to an event for the owner.
type Tell = Box<dyn Fn(&JsValue) -> Option<HlsEvent>>;

/// A player in a video; dropping it ends playback.
#[must_use = "dropping the player ends it"]
pub struct HlsPlayer {
    hls: Hls,
    _callbacks: Vec<Closure<dyn FnMut(JsValue, JsValue)>>,
}

impl HlsPlayer {
    /// Plays the multivariant playlist at `url`, with its audio if `audible`. hls.js adds no audio to a video that plays, and
    /// has no setting to leave the audio out: without its controllers it requests none.
    ///
    /// # Errors
    /// If the script throws.
    pub fn new(
        script: &Script,
        video: &HtmlVideoElement,
        (url, audible): (&str, bool),
        on_event: impl Fn(HlsEvent) + Clone + 'static,
    ) -> Result<Self, DomError> {
        let settings = Object::new();
        for (name, value) in [
            ("lowLatencyMode", JsValue::TRUE),
            // Fragments need no transmuxer, and a worker from a blob needs a looser content security policy.
            ("enableWorker", JsValue::FALSE),
            // Starts with the full variant: otherwise every viewer would start the encoder of `low`.
            ("abrEwmaDefaultEstimate", JsValue::from_f64(50e6)),
            ("abrEwmaDefaultEstimateMax", JsValue::from_f64(50e6)),
            ("backBufferLength", JsValue::from_f64(4.0)),
            ("maxLiveSyncPlaybackRate", JsValue::from_f64(1.1)),
            // `MediaSource.isTypeSupported` decides, as for the other protocols.
            ("useMediaCapabilities", JsValue::FALSE),
        ] {
            Reflect::set(&settings, &JsValue::from_str(name), &value)?;
        }
        for name in UNUSED.iter().chain(AUDIO.iter().filter(|_| !audible)) {
            Reflect::set(&settings, &JsValue::from_str(name), &JsValue::UNDEFINED)?;
        }
        let hls: Hls = Reflect::construct(&script.0, &Array::of1(&settings.into()))?.unchecked_into();
        let mut callbacks = Vec::new();
        let mut on = |name: &str, tell: Tell| {
            let on_event = on_event.clone();
            let callback = Closure::<dyn FnMut(JsValue, JsValue)>::new(move |_: JsValue, data: JsValue| {
                if let Some(event) = tell(&data) {
                    on_event(event);
                }
            });
            hls.on(name, callback.as_ref());
            callbacks.push(callback);
        };
        let levels = hls.clone();
        on("hlsLevelSwitched", Box::new(move |_| Some(HlsEvent::Level(level(&levels)))));
        on("hlsFragLoaded", Box::new(received));
        on("hlsError", Box::new(error));
        hls.attach_media(video);
        hls.load_source(url);
        Ok(Self { hls, _callbacks: callbacks })
    }

    /// Stops all requests to the relay.
    pub fn pause(&self) {
        self.hls.stop_load();
    }

    /// Resumes at the live edge.
    pub fn resume(&self, video: &HtmlVideoElement) {
        self.hls.start_load();
        if let Some(position) = self.hls.live_sync_position().as_f64() {
            video.set_current_time(position);
        }
    }

    /// Restarts the browser's decoder.
    pub fn recover(&self) {
        self.hls.recover_media_error();
    }

    /// The capture time of the presented frame, on the relay's clock, in milliseconds since the Unix epoch.
    pub fn captured(&self) -> Option<f64> {
        self.hls.playing_date().dyn_into::<Date>().ok().map(|date| date.get_time())
    }
}

impl Drop for HlsPlayer {
    fn drop(&mut self) {
        self.hls.destroy();
    }
}

fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn text(object: &JsValue, name: &str) -> String {
    get(object, name).as_string().unwrap_or_default()
}

fn level(hls: &Hls) -> HlsLevel {
    let level = hls.levels().get(u32::try_from(hls.current_level()).unwrap_or_default());
    let pixels = |name| get(&level, name).as_f64().unwrap_or_default() as u16;
    let url = get(&get(&level, "url"), "0").as_string().unwrap_or_else(|| text(&level, "uri"));
    HlsLevel { url, codec: text(&level, "videoCodec"), width: pixels("width"), height: pixels("height") }
}

fn received(data: &JsValue) -> Option<HlsEvent> {
    let part = get(data, "part");
    let of = if part.is_object() { part } else { get(data, "frag") };
    Some(HlsEvent::Received(get(&get(&of, "stats"), "loaded").as_f64()? as u64))
}

fn error(data: &JsValue) -> Option<HlsEvent> {
    let (kind, details) = (text(data, "type"), text(data, "details"));
    match (get(data, "fatal").is_truthy(), kind.as_str()) {
        (true, "mediaError") => Some(HlsEvent::Media(details)),
        (true, _) => Some(HlsEvent::Network(details)),
        (false, "networkError") => Some(HlsEvent::Hitch),
        (false, _) => None,
    }
}
