//! Lists the codec strings to test in the browser.
//!
//! A browser cannot list its codecs; it answers yes or no to a codec string. The highest accepted level of each profile is
//! reported: the relay assumes that lower levels of the profile play as well.

use sightline_protocol::codec::Family::{self, H264, H265};

/// A profile and its levels, highest first.
struct Profile {
    family: Family,
    /// The codec string before the level.
    before: &'static str,
    /// The levels to test.
    levels: &'static [&'static str],
    /// The codec string after the level.
    after: &'static str,
}

/// 6.2, 5.1, 4.1 and 3.1, as thirty times the level. The limits of decoders are among the first three; 3.1 is the lowest that
/// fits a camera.
const HEVC_LEVELS: &[&str] = &["186", "153", "123", "93"];
/// 5.2, 5.1, 4.2, 4.1, 4.0 and 3.1, as ten times the level in hexadecimal.
const AVC_LEVELS: &[&str] = &["34", "33", "2A", "29", "28", "1F"];

/// Main and Main 10 of H.265 in both sample entries (Apple's players refuse `hev1`, the relay sends `hvc1`), then Constrained
/// Baseline, Main and High of H.264.
const PROFILES: &[Profile] = &[
    Profile { family: H265, before: "hvc1.1.6.L", levels: HEVC_LEVELS, after: ".B0" },
    Profile { family: H265, before: "hvc1.2.4.L", levels: HEVC_LEVELS, after: ".B0" },
    Profile { family: H265, before: "hev1.1.6.L", levels: HEVC_LEVELS, after: ".B0" },
    Profile { family: H265, before: "hev1.2.4.L", levels: HEVC_LEVELS, after: ".B0" },
    Profile { family: H264, before: "avc1.42E0", levels: AVC_LEVELS, after: "" },
    Profile { family: H264, before: "avc1.4D40", levels: AVC_LEVELS, after: "" },
    Profile { family: H264, before: "avc1.6400", levels: AVC_LEVELS, after: "" },
];

/// The MIME type of an fMP4 stream of this codec.
fn mime(codec: &str) -> String {
    format!("video/mp4; codecs=\"{codec}\"")
}

/// The codec strings for `play`: for each profile the highest level that `supported` accepts as a MIME type. A family that this
/// browser has `failed` to decode is left out.
pub fn playable(supported: impl Fn(&str) -> bool, failed: Option<Family>) -> Vec<String> {
    let trusted = |profile: &&Profile| failed.is_none_or(|failed| failed != profile.family);
    let highest = |profile: &Profile| {
        let codec = |level: &&str| format!("{}{level}{}", profile.before, profile.after);
        profile.levels.iter().map(codec).find(|codec| supported(&mime(codec)))
    };
    PROFILES.iter().filter(trusted).filter_map(highest).collect()
}

/// All codec strings, and whether `supported` accepts each as a MIME type, for display to users.
pub fn every(supported: impl Fn(&str) -> bool) -> Vec<(String, bool)> {
    let codecs = |profile: &Profile| {
        let codec = |level: &&str| format!("{}{level}{}", profile.before, profile.after);
        profile.levels.iter().map(codec).collect::<Vec<_>>()
    };
    PROFILES.iter().flat_map(codecs).map(|codec| (codec.clone(), supported(&mime(&codec)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sightline_protocol::codec::VideoCodec;

    #[test]
    fn full_support_gives_the_highest_level_of_each_profile() {
        assert_eq!(
            playable(|_| true, None),
            [
                "hvc1.1.6.L186.B0",
                "hvc1.2.4.L186.B0",
                "hev1.1.6.L186.B0",
                "hev1.2.4.L186.B0",
                "avc1.42E034",
                "avc1.4D4034",
                "avc1.640034"
            ]
        );
    }

    #[test]
    fn lower_levels_are_probed_and_refused_profiles_omitted() {
        let small =
            |mime: &str| mime.contains("hvc1.1.6.L123") || mime.contains("hvc1.1.6.L93") || mime.contains("29\"");
        assert_eq!(playable(small, None), ["hvc1.1.6.L123.B0", "avc1.42E029", "avc1.4D4029", "avc1.640029"]);
        assert!(playable(|_| false, None).is_empty());
    }

    #[test]
    fn test_page_lists_every_probe() {
        let every = every(|mime| mime.contains("avc1"));
        assert_eq!(every.len(), PROFILES.iter().map(|profile| profile.levels.len()).sum::<usize>());
        assert!(every.iter().all(|(codec, played)| codec.starts_with("avc1") == *played));
    }

    #[test]
    fn failed_family_is_omitted() {
        assert_eq!(playable(|_| true, Some(H265)), ["avc1.42E034", "avc1.4D4034", "avc1.640034"]);
    }

    #[test]
    fn every_probe_is_a_valid_codec_string() {
        for profile in PROFILES {
            for level in profile.levels {
                let text = format!("{}{level}{}", profile.before, profile.after);
                assert_eq!(text.parse::<VideoCodec>().unwrap().family(), profile.family, "{text}");
            }
        }
    }
}
