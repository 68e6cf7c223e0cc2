//! The names of renditions, and the file names in their playlists. Media sequence numbers are never reused, also after a restart of the relay, so
//! cached media is never wrong.

use std::fmt;
use std::str::FromStr;

use sightline_protocol::stream::Variant;

/// A rendition, by the name of its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenditionName {
    /// Video, by its variant.
    Video(Variant),
    /// The audio of all variants.
    Audio,
}

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(variant) => variant.fmt(f),
            Self::Audio => f.write_str("audio"),
        }
    }
}

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileName {
    /// `media.m3u8`.
    Playlist,
    /// `init-{id}.mp4`.
    Init(u64),
    /// `{msn}.m4s`.
    Segment(u64),
    /// `{msn}.{part}.m4s`.
    Part(u64, usize),
}

/// Not a name of this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownFile;

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist => f.write_str("media.m3u8"),
            Self::Init(id) => write!(f, "init-{id}.mp4"),
            Self::Segment(msn) => write!(f, "{msn}.m4s"),
            Self::Part(msn, part) => write!(f, "{msn}.{part}.m4s"),
        }
    }
}

impl FromStr for FileName {
    type Err = UnknownFile;

    fn from_str(text: &str) -> Result<Self, UnknownFile> {
        let name = if text == "media.m3u8" {
            Self::Playlist
        } else if let Some(id) = text.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            Self::Init(id.parse().map_err(|_| UnknownFile)?)
        } else {
            let numbers = text.strip_suffix(".m4s").ok_or(UnknownFile)?;
            match numbers.split_once('.') {
                None => Self::Segment(numbers.parse().map_err(|_| UnknownFile)?),
                Some((msn, part)) => {
                    Self::Part(msn.parse().map_err(|_| UnknownFile)?, part.parse().map_err(|_| UnknownFile)?)
                }
            }
        };
        // One name per resource: `+1.m4s` and `01.m4s` are invalid.
        if name.to_string() == text { Ok(name) } else { Err(UnknownFile) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_names_are_unknown() {
        for text in ["", ".m4s", "1.2.3.m4s", "+1.m4s", "01.m4s", "1.m4s ", "init-.mp4", "init.mp4", "-1.m4s", "1..m4s"]
        {
            assert_eq!(text.parse::<FileName>(), Err(UnknownFile), "{text:?}");
        }
        assert_eq!("18446744073709551616.m4s".parse::<FileName>(), Err(UnknownFile));
    }

    proptest! {
        #[test]
        fn file_names_round_trip(msn: u64, part: usize) {
            for name in [FileName::Playlist, FileName::Init(msn), FileName::Segment(msn), FileName::Part(msn, part)] {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }

        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<FileName>();
        }
    }
}
