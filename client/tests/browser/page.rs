//! The page itself, and the browser's exceptions.

use js_sys::{Object, Reflect};
use sightline_client::browser::error::DomError;
use sightline_client::browser::media_source::Kind;
use sightline_client::browser::{Relay, mark, now, unix_ms, window};
use sightline_client::codec_probe;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::DomException;

#[wasm_bindgen_test]
fn quota_error_is_recognized_in_all_its_forms() {
    let named = DomException::new_with_message_and_name("full", "QuotaExceededError").unwrap();
    assert_eq!(DomError::from(JsValue::from(named)), DomError::QuotaExceeded);
    for (property, value) in [("code", JsValue::from(22)), ("quota", JsValue::NULL)] {
        let thrown = Object::new();
        Reflect::set(&thrown, &property.into(), &value).unwrap();
        assert_eq!(DomError::from(JsValue::from(thrown)), DomError::QuotaExceeded, "{property}");
    }
}

#[wasm_bindgen_test]
fn other_exceptions_keep_their_name_and_message() {
    let error = |name| DomError::from(JsValue::from(DomException::new_with_message_and_name("why", name).unwrap()));
    assert_eq!(error("NotAllowedError"), DomError::NotAllowed);
    assert_eq!(error("AbortError"), DomError::Aborted);
    assert_eq!(error("InvalidStateError").to_string(), "InvalidStateError: why");
    assert!(matches!(DomError::from(JsValue::from("text")), DomError::Other { .. }));
    assert!(matches!(DomError::from(JsValue::UNDEFINED), DomError::Other { .. }));
}

#[wasm_bindgen_test]
fn stream_url_follows_the_page() {
    let stream = "cam-1.yard".parse().unwrap();
    let host = window().location().host().unwrap();
    let socket = "ws/mse/cam-1.yard?subprotocol=sightline.v1";
    assert_eq!(Relay::default().stream_url(&stream).unwrap(), format!("ws://{host}/{socket}"));
    let at = |url: &str, token: Option<&str>| Relay { url: Some(url.to_owned()), token: token.map(str::to_owned) };
    let elsewhere = at("https://relay.example/below/", None).stream_url(&stream).unwrap();
    assert_eq!(elsewhere, format!("wss://relay.example/below/{socket}"));
    let path = at("https://relay.example/", None).stream_url(&"site/cam 1?/ü#".parse().unwrap()).unwrap();
    assert_eq!(path, "wss://relay.example/ws/mse/site/cam%201%3F/%C3%BC%23?subprotocol=sightline.v1");
    assert!(at("not an address", None).stream_url(&stream).is_err());
    let with_token = at("https://relay.example/", Some("a-b.c_d.e")).address("whep/yard?codec=auto").unwrap();
    assert_eq!(with_token, "https://relay.example/whep/yard?codec=auto&token=a-b.c_d.e");
}

#[wasm_bindgen_test]
fn mark_replaces_the_previous_one() {
    let stream = "marked".parse().unwrap();
    let marks = || window().performance().unwrap().get_entries_by_name("sightline:marked:open").length();
    mark(&stream, "open");
    mark(&stream, "open");
    assert_eq!(marks(), 1);
}

#[wasm_bindgen_test]
fn clocks_agree() {
    assert!((unix_ms() - js_sys::Date::now()).abs() < 1000.0);
    let (start, unix) = (now(), unix_ms());
    while now().ms_since(start) < 20.0 {}
    let passed = unix_ms() - unix;
    assert!((15.0..1000.0).contains(&passed), "{passed} ms");
}

#[wasm_bindgen_test]
fn this_browser_plays_h264() {
    let kind = Kind::available().expect("MediaSource or ManagedMediaSource");
    let codecs = codec_probe::playable(|mime| kind.is_type_supported(mime), None);
    assert!(codecs.iter().any(|codec| codec.starts_with("avc1.42E0")), "{codecs:?}");
    assert!(codecs.iter().any(|codec| codec.starts_with("avc1.6400")), "{codecs:?}");
    assert!(!kind.is_type_supported("video/mp4; codecs=\"none\""));
}
