//! Detects the browser's abilities by its interfaces, not by its name.

use std::sync::OnceLock;

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlVideoElement;

use super::media_source::Kind;
use super::video_track::VideoTrack;
use super::{display, document, window};
use crate::codec_probe;
use crate::state::Abilities;

/// Returns the abilities. Detection runs once per page: the answers do not change, and every tile needs them.
pub fn abilities() -> &'static Abilities {
    static ABILITIES: OnceLock<Abilities> = OnceLock::new();
    ABILITIES.get_or_init(ask)
}

fn ask() -> Abilities {
    let has = |name: &str| Reflect::has(&window(), &JsValue::from_str(name)).unwrap_or(false);
    let video: Option<HtmlVideoElement> = document().create_element("video").ok().map(JsCast::unchecked_into);
    let native_hls =
        video.as_ref().is_some_and(|video| !video.can_play_type("application/vnd.apple.mpegurl").is_empty());
    let frame_callbacks = video
        .is_some_and(|video| Reflect::has(&video, &JsValue::from_str("requestVideoFrameCallback")).unwrap_or(false));
    let kind = Kind::available();
    let plays = |mime: &str| kind.is_some_and(|kind| kind.is_type_supported(mime));
    Abilities {
        media_source: kind.map(|kind| match kind {
            Kind::Plain => "MediaSource",
            Kind::Managed => "ManagedMediaSource",
        }),
        webrtc: has("RTCPeerConnection"),
        native_hls,
        webcodecs: has("VideoDecoder"),
        video_track: VideoTrack::is_available(),
        webtransport: has("WebTransport"),
        frame_callbacks,
        picture_in_picture: display::can_float(),
        secure_context: window().is_secure_context(),
        codecs: codec_probe::every(plays),
        user_agent: window().navigator().user_agent().unwrap_or_default(),
    }
}
