//! What is fuzzed: all that reads what somebody else wrote. Bytes of anybody's choice enter; a target returns, or panics
//! where something does not hold. Built for `cargo fuzz` (the folder `fuzz`) and for tests, which run every seed.
//!
//! | target | what it reads | what must hold, beside that nothing panics |
//! | --- | --- | --- |
//! | [`fmp4`] | FFmpeg's output | it gives the same however it is cut; what is published can be read, and says the same |
//! | [`nut`] | a source's audio | it gives the same however it is cut; nothing is lost |
//! | [`nal`] | NAL units | a parameter set that was amended is one that declares that pictures are in order |
//! | [`codecs`] | codec strings | they are read as they are written, and cover themselves |
//! | [`viewer`] | what a viewer sends by WebSocket | messages are read as they are written |
//! | [`page`] | what the page is sent | messages are read as they are written |
//! | [`whep`] | offers and candidates | |
//! | [`hls`] | names and queries | a name is read as it is written |
//! | [`tokens`] | tokens, and where they come from | a token for one stream reaches no other |
//! | [`config`] | a configuration | one that is taken has streams |

use std::mem::discriminant;

use sightline_protocol::catalogue::Catalogue;
use sightline_protocol::codec::{AudioCodec, Family, VideoCodec};
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::ServerMessage;

pub use crate::access::fuzz::tokens;
pub use crate::config::fuzz::config;
pub use crate::egress::hls::fuzz::hls;
pub use crate::egress::websocket::fuzz::viewer;
pub use crate::egress::whep::fuzz::whep;
pub use crate::ingest::fuzz::fmp4;
use crate::nal::order::OrderJudge;
use crate::nal::{self, Declared, Layout};
use crate::nut::{NutError, SourceAudio, Splitter, Unit};

/// How long the pieces are in which `data` arrives when it does not arrive as a whole: anything, but the same each time.
pub(crate) fn piece(data: &[u8]) -> usize {
    1 + data.len() % 61
}

/// See the [module](self).
pub fn nut(data: &[u8]) {
    let whole = split_nut(data, data.len().max(1));
    let pieces = split_nut(data, piece(data));
    assert_eq!((&whole.audio, &whole.bytes, whole.error), (&pieces.audio, &pieces.bytes, pieces.error));
    assert_eq!(whole.syncs, pieces.syncs);
}

/// What comes out of a NUT file.
#[derive(Default)]
struct Nut {
    audio: Vec<Option<SourceAudio>>,
    /// Headers and media.
    bytes: Vec<u8>,
    /// Where in them reading can begin.
    syncs: Vec<usize>,
    error: Option<NutError>,
}

fn split_nut(data: &[u8], piece: usize) -> Nut {
    let mut splitter = Splitter::default();
    let mut out = Nut::default();
    for bytes in data.chunks(piece) {
        splitter.buffer().extend_from_slice(bytes);
        loop {
            match splitter.next_unit() {
                Ok(Some(Unit::Audio(audio))) => out.audio.push(audio),
                Ok(Some(Unit::Head(bytes))) => out.bytes.extend(&bytes),
                Ok(Some(Unit::Media { bytes, sync })) => {
                    assert!(!bytes.is_empty());
                    out.syncs.extend(sync.then_some(out.bytes.len()));
                    out.bytes.extend(&bytes);
                }
                Ok(None) => break,
                Err(error) => return Nut { error: Some(error), ..out },
            }
        }
    }
    let all = [&out.bytes, &splitter.buffer()[..]].concat();
    assert_eq!(all, data, "what is not given out is still there");
    out
}

/// Of the first byte the lowest bit is the codec, the next two are the length's size.
pub fn nal(data: &[u8]) {
    let Some((head, access_unit)) = data.split_first() else { return };
    let family = if head & 1 == 0 { Family::H264 } else { Family::H265 };
    let layout = Layout { family, length_size: usize::from(head >> 1 & 3) + 1 };
    let mut judge = OrderJudge::new(family);
    for unit in layout.units(access_unit).map(|unit| &access_unit[unit]) {
        let declared = nal::declared(family, unit);
        if let Ok(Some(amended)) = nal::declare_in_order(family, unit) {
            assert_eq!(nal::declare_in_order(family, &amended), Ok(None));
            if let Ok(Some(before)) = declared {
                assert_ne!(before, Declared::InOrder);
                assert_eq!(nal::declared(family, &amended), Ok(Some(Declared::InOrder)));
            }
        }
        judge.is_out_of_order([unit]);
    }
}

/// See the [module](self).
pub fn codecs(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let parts: Vec<&str> = text.split_whitespace().collect();
    let video: Vec<VideoCodec> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    for codec in &video {
        assert_eq!(codec.to_string().parse().as_ref(), Ok(codec));
        assert_eq!(sightline_protocol::codec::codec_of(&codec.mime()), codec.to_string());
        assert!(codec.covers(codec));
        assert!(video.iter().all(|other| !codec.covers(other) || codec.family() == other.family()));
    }
    for codec in parts.iter().filter_map(|part| part.parse::<AudioCodec>().ok()) {
        assert_eq!(codec.to_string().parse(), Ok(codec));
    }
}

/// Text is a message or the catalogue, anything else a fragment.
pub fn page(data: &[u8]) {
    let _ = FragmentHead::read(data);
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(message) = serde_json::from_str::<ServerMessage>(text) {
        // Not the same to the last bit: serde_json rounds numbers with more digits than any time has.
        let again = serde_json::from_str::<ServerMessage>(&message.to_json());
        assert_eq!(again.ok().as_ref().map(discriminant), Some(discriminant(&message)), "{message:?}");
    }
    let _ = serde_json::from_str::<Catalogue>(text);
}

#[cfg(test)]
mod tests;
