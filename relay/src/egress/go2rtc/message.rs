//! The JSON messages of go2rtc's WebSocket: `{"type":…,"value":…}` in both directions. Pure.

use serde::Deserialize;
use serde_json::{Value, json};
use sightline_protocol::codec::VideoCodec;

/// The maximum number of characters of a type that an error repeats.
const SHOWN: usize = 32;
/// The codecs of a viewer that names none, as go2rtc assumes: High of every level, and Main of H.265 up to level 5.1.
const ASSUMED: [&str; 2] = ["avc1.64003E", "hvc1.1.6.L153.B0"];

/// A message of the viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ViewerMessage {
    /// Asks for fragments, with the codec strings that the viewer plays, separated by commas.
    Mse(String),
    /// An SDP offer.
    Offer(String),
    /// An ICE candidate, as in the attribute `candidate` of SDP; empty at the end.
    Candidate(String),
    /// A message that the relay does not serve, by its type.
    Other(String),
}

/// A message of any type.
#[derive(Debug, Deserialize)]
struct AnyMessage {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

impl ViewerMessage {
    /// Parses a message. A value that is no text counts as empty, as in go2rtc.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let AnyMessage { kind, value } = serde_json::from_str(text)?;
        let value = if let Value::String(value) = value { value } else { String::new() };
        Ok(match &*kind {
            MSE => Self::Mse(value),
            OFFER => Self::Offer(value),
            "webrtc/candidate" => Self::Candidate(value),
            _ => Self::Other(kind),
        })
    }
}

/// The type of a request for fragments.
pub(super) const MSE: &str = "mse";
/// The type of an SDP offer.
pub(super) const OFFER: &str = "webrtc/offer";

/// The video codecs of a list. Ignores codecs that the relay never sends, such as those of audio.
///
/// # Errors
/// The list has others only.
pub(super) fn playable(list: &str) -> Result<Vec<VideoCodec>, &'static str> {
    let parse = |codec: &str| codec.trim().parse().ok();
    if list.is_empty() {
        return Ok(ASSUMED.into_iter().filter_map(parse).collect());
    }
    let known: Vec<VideoCodec> = list.split(',').filter_map(parse).collect();
    if known.is_empty() {
        Err("the list of codecs has none of H.264 or H.265, and the relay sends video")
    } else {
        Ok(known)
    }
}

/// The MIME type of the fragments that follow.
pub(super) fn mse(mime: &str) -> String {
    json!({ "type": MSE, "value": mime }).to_string()
}

/// The answer to an offer.
pub(super) fn answer(sdp: &str) -> String {
    json!({ "type": "webrtc/answer", "value": sdp }).to_string()
}

/// An error. A session's own has the type of the message that it answers in front: players look for it.
pub(super) fn error(value: &str) -> String {
    json!({ "type": "error", "value": value }).to_string()
}

/// The value of an error about a message of this type.
pub(super) fn about(kind: &str, message: impl std::fmt::Display) -> String {
    format!("{kind}: {message}")
}

/// The value of the error for a message that the relay does not serve. It must not contain [`OFFER`], at which players close
/// their WebRTC connection.
pub(super) fn unsupported(kind: &str) -> String {
    let shown: String = kind.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    let why = match kind {
        "hls" => "this address serves no HLS; /hls/NAME/index.m3u8 does",
        "mjpeg" | "mp4" => "the relay does not send this; use mse or webrtc",
        "webrtc" => "the relay takes an offer as text only",
        _ => "the relay does not know this message",
    };
    about(&shown, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parsed_by_type() {
        let parse = |text: &str| ViewerMessage::parse(text).ok();
        let text = || "a,b".to_owned();
        for (message, expected) in [
            (r#"{"type":"mse","value":"a,b"}"#, ViewerMessage::Mse(text())),
            (r#"{"value":"a,b","type":"webrtc/offer","more":1}"#, ViewerMessage::Offer(text())),
            (r#"{"type":"webrtc/candidate","value":"a,b"}"#, ViewerMessage::Candidate(text())),
            (r#"{"type":"mse"}"#, ViewerMessage::Mse(String::new())),
            (r#"{"type":"mse","value":{"a":[1]}}"#, ViewerMessage::Mse(String::new())),
            (r#"{"type":"mjpeg"}"#, ViewerMessage::Other("mjpeg".to_owned())),
        ] {
            assert_eq!(parse(message), Some(expected), "{message}");
        }
        for message in ["", "mse", "{}", "[]", r#"{"type":1}"#, r#"{"type":"mse","value":"a"#] {
            assert_eq!(parse(message), None, "{message}");
        }
    }

    #[test]
    fn codec_list_of_the_element_is_read() {
        let list = "avc1.640029,avc1.64002A,avc1.640033,hvc1.1.6.L153.B0,mp4a.40.2,mp4a.40.5,flac,opus";
        let plays = |list: &str, codec: &str| {
            let codec: VideoCodec = codec.parse().unwrap();
            playable(list).unwrap().iter().any(|probe| probe.covers(&codec))
        };
        assert!(plays(list, "avc1.42C01E") && plays(list, "hvc1.1.6.L93.90"));
        assert!(!plays(list, "hvc1.2.4.L153.90"), "Main 10");
        assert!(!plays("avc1.640029,mp4a.40.2", "hvc1.1.6.L93.90"));
        assert!(plays("", "avc1.4D4034") && plays("", "hvc1.1.6.L93.90"), "a viewer that names none");
        for list in ["mp4a.40.2,flac", "x", ","] {
            assert!(playable(list).is_err(), "{list}");
        }
    }

    #[test]
    fn messages_of_the_relay_have_the_form_of_go2rtc() {
        assert_eq!(
            mse("video/mp4; codecs=\"avc1.64001F\""),
            r#"{"type":"mse","value":"video/mp4; codecs=\"avc1.64001F\""}"#
        );
        assert_eq!(answer("v=0\r\n"), r#"{"type":"webrtc/answer","value":"v=0\r\n"}"#);
        assert_eq!(error(&about(MSE, "no")), r#"{"type":"error","value":"mse: no"}"#);
    }

    #[test]
    fn refusal_of_one_type_does_not_end_another() {
        for kind in ["mjpeg", "mp4", "hls", "webrtc", "x", "\u{7}\n", &"long ".repeat(1000)] {
            let value = unsupported(kind);
            assert!(!value.contains(OFFER) && value.len() < 160, "players close their WebRTC connection: {value}");
            assert!(!value.starts_with(MSE), "players fall back from MSE: {value}");
        }
        assert!(unsupported("mjpeg").starts_with("mjpeg: "));
    }
}
