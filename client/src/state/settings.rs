//! What a browser keeps of what its user chose.
//!
//! It is one JSON text in localStorage. Another version of this page may have written it, or something else: whatever
//! cannot be understood is taken for not chosen, one value at a time, and never costs the rest.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::choices::{Layout, Protocol, Theme};

/// Streams of which something is remembered, at most. A browser may see many relays at one address in its life.
const STREAMS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How streams get here, where a stream has no choice of its own.
    #[serde(deserialize_with = "lenient")]
    pub protocol: Protocol,
    /// What was chosen for one stream, by its name.
    #[serde(deserialize_with = "lenient_values")]
    pub streams: BTreeMap<String, StreamSettings>,
    /// The names of streams that were put in order; the others follow.
    #[serde(deserialize_with = "lenient")]
    pub order: Vec<String>,
    /// How tiles share the window.
    #[serde(deserialize_with = "lenient")]
    pub layout: Layout,
    /// Whether statistics lie over the pictures.
    #[serde(deserialize_with = "lenient")]
    pub statistics: bool,
    /// Whether the sidebar is open.
    #[serde(deserialize_with = "lenient")]
    pub sidebar: bool,
    /// Light or dark.
    #[serde(deserialize_with = "lenient")]
    pub theme: Theme,
}

/// What was chosen for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamSettings {
    /// How it gets here, if not like all others.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How loud it is when it is heard, 0 to 1.
    #[serde(deserialize_with = "volume")]
    pub volume: f64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { protocol: None, volume: 1.0 }
    }
}

impl Settings {
    /// Reads what was kept, as far as it can be understood.
    pub fn read(kept: &str) -> Self {
        let mut settings: Self = serde_json::from_str(kept).unwrap_or_default();
        settings.bound();
        settings
    }

    /// The text to keep.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was chosen for a stream.
    pub fn stream(&self, name: &str) -> StreamSettings {
        self.streams.get(name).copied().unwrap_or_default()
    }

    /// Changes what was chosen for a stream.
    pub fn change_stream(&mut self, name: &str, change: impl FnOnce(&mut StreamSettings)) {
        let mut stream = self.stream(name);
        change(&mut stream);
        self.streams.insert(name.to_owned(), stream);
        self.bound();
    }

    /// How a stream is to get here.
    pub fn protocol_of(&self, name: &str) -> Protocol {
        self.stream(name).protocol.unwrap_or(self.protocol)
    }

    /// Lets go of what says nothing, and of what is more than is kept.
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
    fn what_is_kept_is_read_again() {
        let mut settings = Settings {
            protocol: Protocol::Hls,
            order: vec!["b".into(), "a".into()],
            layout: Layout::Columns(3),
            statistics: true,
            sidebar: true,
            theme: Theme::Light,
            ..Settings::default()
        };
        settings.change_stream("a", |stream| stream.protocol = Some(Protocol::Mse));
        settings.change_stream("b", |stream| stream.volume = 0.25);
        assert_eq!(Settings::read(&settings.to_json()), settings);
        assert_eq!([settings.protocol_of("a"), settings.protocol_of("b")], [Protocol::Mse, Protocol::Hls]);
    }

    #[test]
    fn one_broken_value_does_not_cost_the_others() {
        let kept = r#"{
            "protocol": "carrier-pigeon", "layout": "focus", "statistics": "yes", "theme": 7, "order": [1],
            "streams": { "a": { "protocol": "webrtc", "volume": 7 }, "b": 3, "c": { "protocol": "x" } }, "new": {}
        }"#;
        let settings = Settings::read(kept);
        let expected = Settings {
            layout: Layout::Focus,
            streams: BTreeMap::from([(
                "a".to_owned(),
                StreamSettings { protocol: Some(Protocol::WebRtc), volume: 1.0 },
            )]),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_as_it_would_be_anyway_is_not_kept_and_the_rest_is_bounded() {
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
        fn no_text_is_too_strange(kept in ".*", value in "[\\[\\]{}:,\"a-z0-9]*") {
            Settings::read(&kept);
            Settings::read(&format!("{{\"streams\":{value},\"volume\":{value}}}"));
        }
    }
}
