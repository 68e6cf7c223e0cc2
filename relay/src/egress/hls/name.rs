//! The names of what a variant consists of, as they stand in its playlist. Media sequence numbers are never used again
//! for other media, not even by a relay that was started anew, so whoever keeps one of these keeps the right thing.

use std::fmt;
use std::str::FromStr;

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// `media.m3u8`.
    Playlist,
    /// `init-{id}.mp4`.
    Init(u64),
    /// `{msn}.m4s`.
    Segment(u64),
    /// `{msn}.{part}.m4s`.
    Part(u64, usize),
}

/// Not one of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown;

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist => f.write_str("media.m3u8"),
            Self::Init(id) => write!(f, "init-{id}.mp4"),
            Self::Segment(msn) => write!(f, "{msn}.m4s"),
            Self::Part(msn, part) => write!(f, "{msn}.{part}.m4s"),
        }
    }
}

impl FromStr for Name {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let name = if text == "media.m3u8" {
            Self::Playlist
        } else if let Some(id) = text.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            Self::Init(id.parse().map_err(|_| Unknown)?)
        } else {
            let numbers = text.strip_suffix(".m4s").ok_or(Unknown)?;
            match numbers.split_once('.') {
                None => Self::Segment(numbers.parse().map_err(|_| Unknown)?),
                Some((msn, part)) => Self::Part(msn.parse().map_err(|_| Unknown)?, part.parse().map_err(|_| Unknown)?),
            }
        };
        // One name for each thing: `+1.m4s` and `01.m4s` are none.
        if name.to_string() == text { Ok(name) } else { Err(Unknown) }
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
            assert_eq!(text.parse::<Name>(), Err(Unknown), "{text:?}");
        }
        assert_eq!("18446744073709551616.m4s".parse::<Name>(), Err(Unknown));
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_are_written(msn: u64, part: usize) {
            for name in [Name::Playlist, Name::Init(msn), Name::Segment(msn), Name::Part(msn, part)] {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<Name>();
        }
    }
}
