//! The settings that a viewer selects from short lists, and their names in addresses and stored settings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sightline_protocol::stream::{Quality, VariantChoice};

/// The variants that a viewer can request, and their names in addresses: `?codec=h264`.
pub const CODECS: [(VariantChoice, &str); 4] = [
    (VariantChoice::Auto, "auto"),
    (VariantChoice::Copy, "h265"),
    (VariantChoice::H264, "h264"),
    (VariantChoice::Low, "low"),
];

/// Parses a variant's name.
pub fn choice_of(word: &str) -> Option<VariantChoice> {
    CODECS.iter().find(|(_, known)| *known == word).map(|(choice, _)| *choice)
}

/// The variant's name.
pub fn word_of(choice: VariantChoice) -> &'static str {
    CODECS.iter().find(|(known, _)| *known == choice).map_or("auto", |(_, word)| word)
}

/// The quality's name on the page.
pub fn quality_label(quality: Quality) -> &'static str {
    match quality {
        Quality::Auto => "Auto",
        Quality::High => "High",
        Quality::Low => "Low",
    }
}

/// Describes a quality in one line.
pub fn quality_hint(quality: Quality) -> &'static str {
    match quality {
        Quality::Auto => "Follows the size of the tile and the connection.",
        Quality::High => "Always the main stream: a slow connection skips frames instead.",
        Quality::Low => "Always the camera's sub stream, or a small transcode.",
    }
}

/// The protocol that carries a stream to the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The protocol with the lowest latency that works here.
    #[default]
    Auto,
    /// Fragments over a WebSocket into Media Source Extensions.
    Mse,
    /// The same fragments over a WebSocket, decoded by WebCodecs and presented on arrival.
    WebCodecs,
    /// RTP over UDP or TCP, negotiated by WHEP.
    WebRtc,
    /// LL-HLS over plain HTTP.
    Hls,
}

impl Protocol {
    /// In the order of the selector.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Mse, Self::WebCodecs, Self::WebRtc, Self::Hls];

    /// The name in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mse => "mse",
            Self::WebCodecs => "webcodecs",
            Self::WebRtc => "webrtc",
            Self::Hls => "hls",
        }
    }
}

/// The name on the page.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "Auto",
            Self::Mse => "MSE",
            Self::WebCodecs => "WebCodecs",
            Self::WebRtc => "WebRTC",
            Self::Hls => "HLS",
        })
    }
}

impl FromStr for Protocol {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(NoChoice)
    }
}

/// A text that is none of the choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of the choices")]
pub struct NoChoice;

/// The layout of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Layout {
    /// All tiles, as large as possible.
    #[default]
    Grid,
    /// The first tile large, the others beside it.
    Focus,
    /// This many columns across the window; the rest scrolls.
    Columns(u8),
}

impl Layout {
    /// In the order of the selector.
    pub const ALL: [Self; 6] =
        [Self::Grid, Self::Focus, Self::Columns(1), Self::Columns(2), Self::Columns(3), Self::Columns(4)];
    /// With more columns, the tiles would be too small to see.
    const COLUMNS_MAX: u8 = 12;
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grid => f.write_str("grid"),
            Self::Focus => f.write_str("focus"),
            Self::Columns(columns) => columns.fmt(f),
        }
    }
}

impl FromStr for Layout {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        match text {
            "grid" => Ok(Self::Grid),
            "focus" => Ok(Self::Focus),
            text => match text.parse() {
                Ok(columns @ 1..=Self::COLUMNS_MAX) => Ok(Self::Columns(columns)),
                _ => Err(NoChoice),
            },
        }
    }
}

impl TryFrom<String> for Layout {
    type Error = NoChoice;

    fn try_from(text: String) -> Result<Self, NoChoice> {
        text.parse()
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        layout.to_string()
    }
}

/// The color scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// The system's scheme.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// In the order of the selector.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The value of `data-theme`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_round_trip() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.as_str());
        }
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
            assert_eq!(serde_json::to_value(layout).unwrap(), layout.to_string());
        }
        for theme in Theme::ALL {
            assert_eq!(serde_json::to_value(theme).unwrap(), theme.as_str());
        }
    }

    #[test]
    fn unknown_choices_are_refused() {
        for text in ["", "Auto", "rtsp", "mse "] {
            assert_eq!(text.parse::<Protocol>(), Err(NoChoice), "{text:?}");
        }
        for text in ["", "0", "13", "-1", "1.5", "256", "grid "] {
            assert_eq!(text.parse::<Layout>(), Err(NoChoice), "{text:?}");
        }
    }
}
