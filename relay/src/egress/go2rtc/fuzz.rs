//! The target `go2rtc`: a message of a player, and the query of its address.

use sightline_protocol::address::{Address, Go2rtcResource};

use super::message::{self, OFFER, ViewerMessage};

/// See [`crate::fuzz`]. The first line is a query, the rest a message.
pub fn go2rtc(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (query, text) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(address) = Address::of_request("GET", "/go2rtc/api/ws", Some(query)) {
        assert!(matches!(&address, Address::Go2rtc { resource: Go2rtcResource::WebSocket, .. }), "{address}");
        let written = format!("/{address}");
        let (path, query) = written.split_once('?').expect("it has a query");
        assert_eq!(Address::of_request("GET", path, Some(query)), Ok(address));
    }
    match ViewerMessage::parse(text) {
        Ok(ViewerMessage::Mse(codecs)) => match message::playable(&codecs) {
            Ok(known) => assert!(!known.is_empty()),
            Err(_) => assert!(!codecs.is_empty(), "a viewer that names none plays both"),
        },
        Ok(ViewerMessage::Other(kind)) => {
            let value = message::unsupported(&kind);
            assert!(kind.contains(OFFER) || !value.contains(OFFER), "it would end WebRTC: {value}");
            let sent: serde_json::Value = serde_json::from_str(&message::error(&value)).expect("JSON");
            assert_eq!(sent["value"], value);
        }
        _ => {}
    }
}
