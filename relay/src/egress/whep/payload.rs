//! Selects codec and payload type from the viewer's offer.

use sightline_protocol::codec::{Family, VideoCodec};
use str0m::format::{Codec, CodecConfig, FormatParams, PayloadParams};
use str0m::media::{Frequency, Pt};

use crate::hub::audio_buffer::g711::G711;

/// `profile-level-id`s of H.264 (RFC 6184, section 8.1) that browsers offer, at level 3.1: Baseline, Constrained Baseline,
/// Main, High, Constrained High. The level is not binding, because receivers take it from the stream.
const AVC_PROFILES: [u32; 5] = [0x42_001f, 0x42_e01f, 0x4d_001f, 0x64_001f, 0x64_0c1f];
/// `profile-id`s of H.265 (RFC 7798, section 7.1): Main, Main 10.
const HEVC_PROFILES: [u8; 2] = [1, 2];
/// H.265 level 6.2, the highest. The answer contains the offer's.
const HEVC_LEVEL: u8 = 186;
/// The first dynamic payload type (RFC 3551, section 6). An answer uses the offer's.
const FIRST_PT: u8 = 96;

/// The codecs that the relay can send, in order of preference.
pub(super) fn offered_by_us() -> CodecConfig {
    let mut config = CodecConfig::empty();
    let mut types = (FIRST_PT..).map(Pt::from);
    let mut pair = || (types.next().unwrap_or(FIRST_PT.into()), types.next());
    for profile in HEVC_PROFILES {
        let (pt, resend) = pair();
        config.add_h265(pt, resend, profile, 0, HEVC_LEVEL);
    }
    // Without packetization mode 1, fragmentation is not allowed (RFC 6184, section 6.2). Players that offer mode 0 alone,
    // which is the default, are known to reassemble fragments anyway.
    for mode in [true, false] {
        for profile in AVC_PROFILES {
            let (pt, resend) = pair();
            config.add_h264(pt, resend, mode, profile);
        }
    }
    // Every browser has both codecs of sound (RFC 7874, section 3). G.711 has static payload types (RFC 3551, section 6).
    let (pt, _) = pair();
    config.add_config(pt, None, Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), FormatParams::default());
    config.enable_pcmu(true, false);
    config.enable_pcma(true, false);
    config
}

/// A negotiated payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) pt: Pt,
    /// The codec that the receiver plays.
    plays: VideoCodec,
    /// Whether fragmentation is allowed.
    fragments: bool,
}

impl Payload {
    /// The payload type that str0m negotiated. `None` for other codecs than H.264 and H.265.
    pub(super) fn of(params: &PayloadParams) -> Option<Self> {
        let spec = params.spec();
        let format = spec.format;
        let (plays, fragments) = match spec.codec {
            Codec::H264 => {
                let [_, profile, constraints, _] = format.profile_level_id.unwrap_or(AVC_PROFILES[0]).to_be_bytes();
                (VideoCodec::Avc { profile, constraints, level: u8::MAX }, format.packetization_mode == Some(1))
            }
            Codec::H265 => {
                let negotiated = format.h265_profile_tier_level;
                let (profile, level) = negotiated.map_or((1, HEVC_LEVEL), |p| (p.profile().to_id(), p.level().to_id()));
                (hevc(profile, level), true)
            }
            _ => return None,
        };
        Some(Self { pt: params.pt(), plays, fragments })
    }
}

/// The negotiated payload types of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioPayloads {
    pub(super) opus: Pt,
    pub(super) a_law: Option<Pt>,
    pub(super) mu_law: Option<Pt>,
}

impl AudioPayloads {
    /// The payload types that str0m negotiated. `None` without Opus, as which any sound can be sent.
    pub(super) fn of<'a>(negotiated: impl IntoIterator<Item = &'a PayloadParams>) -> Option<Self> {
        let (mut opus, mut a_law, mut mu_law) = (None, None, None);
        for params in negotiated {
            let pt = match params.spec().codec {
                Codec::Opus => &mut opus,
                Codec::PCMA => &mut a_law,
                Codec::PCMU => &mut mu_law,
                _ => continue,
            };
            pt.get_or_insert(params.pt());
        }
        Some(Self { opus: opus?, a_law, mu_law })
    }

    /// The payload type of this law.
    pub(super) fn g711(&self, law: G711) -> Option<Pt> {
        match law {
            G711::ALaw => self.a_law,
            G711::MuLaw => self.mu_law,
        }
    }

    /// Whether there is one of G.711.
    pub(super) fn has_g711(&self) -> bool {
        self.a_law.is_some() || self.mu_law.is_some()
    }
}

fn hevc(profile: u8, level: u8) -> VideoCodec {
    VideoCodec::Hevc { profile_space: 0, profile, compatibility: 0, high_tier: false, level, constraints: [0; 6] }
}

/// The codecs that a viewer with these payload types plays.
///
/// Every H.264 decoder in a browser's WebRTC takes the profile from the stream, whatever was offered: Firefox offers
/// Constrained Baseline alone and plays High. Transcoding for the profile would gain nothing, because the transcode is High
/// too.
pub(super) fn playable(payloads: &[Payload]) -> Vec<VideoCodec> {
    let high = |payload: &Payload| match payload.plays {
        VideoCodec::Avc { constraints, level, .. } => VideoCodec::Avc { profile: 100, constraints, level },
        ref other => other.clone(),
    };
    payloads.iter().map(high).collect()
}

/// Whether a payload type has this codec family.
pub(super) fn has(payloads: &[Payload], family: Family) -> bool {
    payloads.iter().any(|payload| payload.plays.family() == family)
}

/// The payload type for `stream`, preferably of its profile, and preferably with fragmentation.
pub(super) fn choose(payloads: &[Payload], stream: &VideoCodec) -> Option<Pt> {
    let of_family = payloads.iter().filter(|payload| payload.plays.family() == stream.family());
    // `max_by_key` takes the last of equals, so reversing takes the first.
    let best = of_family.rev().max_by_key(|payload| (payload.plays.covers(stream), payload.fragments));
    best.map(|payload| payload.pt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avc(pt: u8, profile: u8, fragments: bool) -> Payload {
        Payload { pt: pt.into(), plays: VideoCodec::Avc { profile, constraints: 0, level: u8::MAX }, fragments }
    }

    fn codec(text: &str) -> VideoCodec {
        text.parse().unwrap()
    }

    #[test]
    fn payload_type_fits_profile_and_packetization_mode() {
        let chromium = [avc(103, 66, true), avc(107, 66, false), avc(112, 100, true), avc(39, 77, true)];
        assert_eq!(choose(&chromium, &codec("avc1.64001F")), Some(112.into()));
        assert_eq!(choose(&chromium, &codec("avc1.42E01F")), Some(103.into()), "the first that fits");
        assert_eq!(choose(&chromium, &codec("hvc1.1.6.L93.90")), None);
        assert_eq!(choose(&[avc(97, 66, false), avc(126, 66, true)], &codec("avc1.640028")), Some(126.into()));
        assert_eq!(choose(&[avc(97, 66, false)], &codec("avc1.640028")), Some(97.into()));
        let with_hevc = [avc(103, 66, true), Payload { pt: 45.into(), plays: hevc(1, 120), fragments: true }];
        assert_eq!(choose(&with_hevc, &codec("hvc1.1.6.L93.90")), Some(45.into()));
        assert!(has(&with_hevc, Family::H265) && !has(&chromium, Family::H265));
    }

    #[test]
    fn h264_plays_common_profiles_and_h265_the_negotiated_ones() {
        let plays = |payloads: &[Payload], stream: &str| playable(payloads).iter().any(|p| p.covers(&codec(stream)));
        let firefox = [avc(126, 66, true)];
        assert!(plays(&firefox, "avc1.640033") && !plays(&firefox, "avc1.6E001F"), "High, but not High 10");
        assert!(!plays(&firefox, "hvc1.1.6.L93.90"));
        let main = [Payload { pt: 45.into(), plays: hevc(1, 120), fragments: true }];
        assert!(
            plays(&main, "hvc1.1.6.L120.90") && !plays(&main, "hvc1.1.6.L153.90") && !plays(&main, "hvc1.2.4.L93.90")
        );
    }

    #[test]
    fn offered_codecs_have_distinct_payload_types() {
        let config = offered_by_us();
        let mut types: Vec<Pt> = config.params().iter().flat_map(|p| [Some(p.pt()), p.resend()]).flatten().collect();
        let all = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!((types.len(), all), (27, 27));
        assert_eq!((*types[0], *types[1]), (0, 8), "PCMU and PCMA");
        assert!(types[2..].iter().all(|&pt| (96..128).contains(&*pt)), "{types:?}");
        assert_eq!(config.params().iter().filter_map(Payload::of).count(), 12, "of them, video");
    }
}
