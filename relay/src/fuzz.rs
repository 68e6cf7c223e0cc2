//! Fuzz targets for every parser of untrusted input. A target takes arbitrary bytes; it returns, or panics on a violated
//! invariant. Compiled for `cargo fuzz` (the folder `fuzz`) and for tests, which run every seed.
//!
//! | target | input | invariant, besides not panicking |
//! | --- | --- | --- |
//! | [`fmp4`] | FFmpeg's output | any split gives the same output; published bytes can be parsed and say the same |
//! | [`rtsp`] | an RTSP connection, as the camera sends it | any split gives the same output; what waits is bounded |
//! | [`rtp`] | a camera's RTP packets of video | an epoch begins with a key frame; its timeline has no gap |
//! | [`nut`] | a source's audio | any split gives the same output; no byte is lost |
//! | [`nal`] | NAL units | an amended parameter set declares that frames are in order |
//! | [`codecs`] | codec strings | formatting and parsing round-trip; a codec covers itself |
//! | [`viewer`] | WebSocket messages of a viewer | messages round-trip |
//! | [`page`] | messages to the page | messages round-trip |
//! | [`whep`] | offers and candidates | |
//! | [`go2rtc`] | messages and queries of go2rtc's players | names round-trip; no refusal ends another protocol |
//! | [`hls`] | names and queries | names round-trip |
//! | [`tokens`] | tokens, in each form that a request can carry | a token grants what its patterns match by definition, and nothing else |
//! | [`config`] | a configuration | an accepted configuration has streams |
//! | [`import`] | another program's configuration | the output is a configuration |

use std::mem::discriminant;

use sightline_media::nal::reorder_detector::ReorderDetector;
use sightline_media::nal::{self, DeclaredReordering, Layout};
use sightline_media::nut::{NutChunk, NutDemuxer, NutError, SourceAudio};
use sightline_protocol::catalogue::Catalogue;
use sightline_protocol::codec::{AudioCodec, Family, VideoCodec};
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::ServerMessage;

pub use crate::access::fuzz::tokens;
pub use crate::cli::fuzz::import;
pub use crate::config::fuzz::config;
pub use crate::egress::go2rtc::fuzz::go2rtc;
pub use crate::egress::hls::fuzz::hls;
pub use crate::egress::websocket::fuzz::viewer;
pub use crate::egress::whep::fuzz::whep;
use crate::ingest::fuzz::piece;
pub use crate::ingest::fuzz::{fmp4, rtp, rtsp};

/// See the [module](self).
pub fn nut(data: &[u8]) {
    let whole = split_nut(data, data.len().max(1));
    let pieces = split_nut(data, piece(data));
    assert_eq!((&whole.audio, &whole.bytes, whole.error), (&pieces.audio, &pieces.bytes, pieces.error));
    assert_eq!(whole.syncs, pieces.syncs);
}

/// The output for one NUT file.
#[derive(Default)]
struct Nut {
    audio: Vec<Option<SourceAudio>>,
    /// Headers and media.
    bytes: Vec<u8>,
    /// Offsets in `bytes` at which reading can begin.
    syncs: Vec<usize>,
    error: Option<NutError>,
}

fn split_nut(data: &[u8], piece: usize) -> Nut {
    let mut demuxer = NutDemuxer::default();
    let mut out = Nut::default();
    for bytes in data.chunks(piece) {
        demuxer.buffer().extend_from_slice(bytes);
        loop {
            match demuxer.next_chunk() {
                Ok(Some(NutChunk::Audio(audio))) => out.audio.push(audio),
                Ok(Some(NutChunk::Head(bytes))) => out.bytes.extend(&bytes),
                Ok(Some(NutChunk::Media { bytes, sync })) => {
                    assert!(!bytes.is_empty());
                    out.syncs.extend(sync.then_some(out.bytes.len()));
                    out.bytes.extend(&bytes);
                }
                Ok(None) => break,
                Err(error) => return Nut { error: Some(error), ..out },
            }
        }
    }
    let all = [&out.bytes, &demuxer.buffer()[..]].concat();
    assert_eq!(all, data, "what is not given out is still there");
    out
}

/// The first byte selects the codec (bit 0) and the size of the length field (bits 1 and 2).
pub fn nal(data: &[u8]) {
    let Some((head, access_unit)) = data.split_first() else { return };
    let family = if head & 1 == 0 { Family::H264 } else { Family::H265 };
    let layout = Layout { family, length_size: usize::from(head >> 1 & 3) + 1 };
    let mut detector = ReorderDetector::new(family);
    for unit in layout.units(access_unit).map(|unit| &access_unit[unit]) {
        let declared = nal::declared_reordering(family, unit);
        if let Ok(Some(amended)) = nal::set_no_reorder(family, unit) {
            assert_eq!(nal::set_no_reorder(family, &amended), Ok(None));
            if let Ok(Some(before)) = declared {
                assert_ne!(before, DeclaredReordering::None);
                assert_eq!(nal::declared_reordering(family, &amended), Ok(Some(DeclaredReordering::None)));
            }
        }
        detector.is_out_of_order([unit]);
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

/// Text is a message or the catalogue; the same bytes are also read as a fragment.
pub fn page(data: &[u8]) {
    let _ = FragmentHead::read(data);
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(message) = serde_json::from_str::<ServerMessage>(text) {
        // Compares the variant only: serde_json rounds numbers with more digits than any time has.
        let again = serde_json::from_str::<ServerMessage>(&message.to_json());
        assert_eq!(again.ok().as_ref().map(discriminant), Some(discriminant(&message)), "{message:?}");
    }
    let _ = serde_json::from_str::<Catalogue>(text);
}

#[cfg(test)]
mod tests;
