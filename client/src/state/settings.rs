//! The settings stored in the browser.
//!
//! They are one JSON text in localStorage, which another version of this page, or another program, may have written. Each value
//! that cannot be parsed falls back to its default and leaves the others intact.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sightline_protocol::stream::Quality;

use super::choices::{Layout, Protocol, Theme};

/// Maximum number of streams with stored settings. A browser may see many relays at one address over time. When full, the first
/// stream by name is dropped.
const STREAMS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The protocol of streams without a setting of their own.
    #[serde(deserialize_with = "lenient")]
    pub protocol: Protocol,
    /// The quality of streams without a setting of their own.
    #[serde(deserialize_with = "lenient")]
    pub quality: Quality,
    /// The settings of single streams, by name.
    #[serde(deserialize_with = "lenient_values")]
    pub streams: BTreeMap<String, StreamSettings>,
    /// The names of streams that the user has ordered; the others follow.
    #[serde(deserialize_with = "lenient")]
    pub order: Vec<String>,
    /// The layout of the tiles.
    #[serde(deserialize_with = "lenient")]
    pub layout: Layout,
    /// Whether statistics are shown over the videos.
    #[serde(deserialize_with = "lenient")]
    pub statistics: bool,
    /// Whether the sidebar is open.
    #[serde(deserialize_with = "lenient")]
    pub sidebar: bool,
    /// The color scheme.
    #[serde(deserialize_with = "lenient")]
    pub theme: Theme,
}

/// The settings of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamSettings {
    /// The protocol, if it differs from all others.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The quality, if it differs from all others.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The volume while audio is on, 0 to 1.
    #[serde(deserialize_with = "volume")]
    pub volume: f64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { protocol: None, quality: None, volume: 1.0 }
    }
}

impl Settings {
    /// Parses the stored text and skips invalid values.
    pub fn read(kept: &str) -> Self {
        let mut settings: Self = serde_json::from_str(kept).unwrap_or_default();
        settings.bound();
        settings
    }

    /// The text to store.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The settings of a stream.
    pub fn stream(&self, name: &str) -> StreamSettings {
        self.streams.get(name).copied().unwrap_or_default()
    }

    /// Changes the settings of a stream.
    pub fn change_stream(&mut self, name: &str, change: impl FnOnce(&mut StreamSettings)) {
        let mut stream = self.stream(name);
        change(&mut stream);
        self.streams.insert(name.to_owned(), stream);
        self.bound();
    }

    /// The protocol of a stream.
    pub fn protocol_of(&self, name: &str) -> Protocol {
        self.stream(name).protocol.unwrap_or(self.protocol)
    }

    /// The quality of a stream.
    pub fn quality_of(&self, name: &str) -> Quality {
        self.stream(name).quality.unwrap_or(self.quality)
    }

    /// Removes default values, and the surplus over the maximum.
    fn bound(&mut self) {
        self.streams.retain(|_, stream| *stream != StreamSettings::default());
        while self.streams.len() > STREAMS_MAX {
            self.streams.pop_first();
        }
        self.order.truncate(STREAMS_MAX);
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

fn lenient_values<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let values: BTreeMap<String, Value> = lenient(deserializer)?;
    Ok(values.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_value(value).ok()?))).collect())
}

fn volume<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64().map_or(1.0, |volume| volume.clamp(0.0, 1.0)))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn settings_round_trip() {
        let mut settings = Settings {
            protocol: Protocol::Hls,
            quality: Quality::Low,
            order: vec!["b".into(), "a".into()],
            layout: Layout::Columns(3),
            statistics: true,
            sidebar: true,
            theme: Theme::Light,
            ..Settings::default()
        };
        settings.change_stream("a", |stream| stream.protocol = Some(Protocol::Mse));
        settings.change_stream("b", |stream| stream.volume = 0.25);
        settings.change_stream("c", |stream| stream.quality = Some(Quality::High));
        assert_eq!(Settings::read(&settings.to_json()), settings);
        assert_eq!([settings.protocol_of("a"), settings.protocol_of("b")], [Protocol::Mse, Protocol::Hls]);
        assert_eq!([settings.quality_of("c"), settings.quality_of("b")], [Quality::High, Quality::Low]);
    }

    #[test]
    fn invalid_value_keeps_the_others() {
        let kept = r#"{
            "protocol": "carrier-pigeon", "quality": "best", "layout": "focus", "statistics": "yes", "theme": 7, "order": [1],
            "streams": { "a": { "protocol": "webrtc", "quality": 9, "volume": 7 }, "b": 3, "c": { "protocol": "x" } }, "new": {}
        }"#;
        let settings = Settings::read(kept);
        let expected = Settings {
            layout: Layout::Focus,
            streams: BTreeMap::from([(
                "a".to_owned(),
                StreamSettings { protocol: Some(Protocol::WebRtc), ..StreamSettings::default() },
            )]),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn defaults_are_not_stored_and_streams_are_bounded() {
        let mut settings = Settings::default();
        settings.change_stream("a", |stream| stream.volume = 0.5);
        settings.change_stream("a", |stream| stream.volume = 1.0);
        assert_eq!(settings, Settings::default());
        for n in 0..STREAMS_MAX + 9 {
            settings.change_stream(&n.to_string(), |stream| stream.volume = 0.5);
        }
        assert_eq!(settings.streams.len(), STREAMS_MAX);
    }

    proptest! {
        #[test]
        fn any_text_parses_without_a_panic(kept in ".*", value in "[\\[\\]{}:,\"a-z0-9]*") {
            Settings::read(&kept);
            Settings::read(&format!("{{\"streams\":{value},\"volume\":{value}}}"));
        }
    }
}
