//! The description of a stream in the shape of go2rtc's `GET api/streams`: `producers` and `consumers`, each with its media.
//!
//! A source's address is absent, since it may have a password. The Advanced Camera Card looks for media with `audio` and `sendonly`
//! in a producer, by which it offers to talk back; the relay has none.

use serde_json::{Value, json};
use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::codec::Family;
use sightline_protocol::stream::Variant;
use tokio::time::Instant;

use crate::hub::Stream;
use crate::hub::rendition::Rendition;

/// The description of `stream` at `now`.
pub(super) fn describe(stream: &Stream, now: Instant) -> Value {
    let video = codec(stream.rendition(Variant::Copy)).map(|codec| format!("video, recvonly, {codec}"));
    let audio = stream.audio_buffer().audio().map(|source| format!("audio, recvonly, {}", audio_codec(&source)));
    let medias: Vec<String> = video.into_iter().chain(audio).collect();
    let consumers: Vec<Value> = stream.renditions().flat_map(|rendition| consumers(rendition, now)).collect();
    json!({ "producers": [{ "medias": medias }], "consumers": consumers })
}

/// One consumer for each viewer of a rendition.
fn consumers(rendition: &Rendition, now: Instant) -> Vec<Value> {
    let medias: Vec<String> = codec(rendition).map(|codec| format!("video, sendonly, {codec}")).into_iter().collect();
    vec![json!({ "medias": medias }); rendition.info(now).viewers]
}

/// The video codec of a rendition that has run, as RTP names it.
fn codec(rendition: &Rendition) -> Option<&'static str> {
    rendition.init()?.video_codec().map(|codec| match codec.family() {
        Family::H264 => "H264",
        Family::H265 => "H265",
    })
}

/// An audio codec as RTP names it, where it is known, and its sampling rate.
fn audio_codec(source: &SourceAudio) -> String {
    let rate = source.sample_rate;
    match &source.codec {
        SourceCodec::Aac => format!("MPEG4-GENERIC/{rate}"),
        SourceCodec::Opus => format!("OPUS/{rate}/{}", source.channels),
        SourceCodec::Other(name) => match &**name {
            "G.711 A-law" => format!("PCMA/{rate}"),
            "G.711 µ-law" => format!("PCMU/{rate}"),
            "G.722" => format!("G722/{rate}"),
            name => format!("{name}/{rate}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::test_stream::{H265, start_epoch, stream};
    use crate::hub::rendition::Protocol;

    #[tokio::test]
    async fn description_has_the_shape_of_go2rtc() {
        let stream = stream();
        let none = json!({ "producers": [{ "medias": [] }], "consumers": [] });
        assert_eq!(describe(&stream, Instant::now()), none);
        start_epoch(&stream, Variant::Copy, H265, false);
        let _viewers = [Protocol::Go2rtc, Protocol::Mse].map(|protocol| stream.subscribe(Variant::Copy, protocol));
        let consumer = json!({ "medias": ["video, sendonly, H265"] });
        let expected =
            json!({ "producers": [{ "medias": ["video, recvonly, H265"] }], "consumers": [consumer, consumer] });
        assert_eq!(describe(&stream, Instant::now()), expected);
    }

    #[test]
    fn audio_codecs_have_the_names_of_rtp() {
        let named = |codec, channels| audio_codec(&SourceAudio { codec, sample_rate: 8000, channels });
        assert_eq!(named(SourceCodec::Aac, 1), "MPEG4-GENERIC/8000");
        assert_eq!(named(SourceCodec::Opus, 2), "OPUS/8000/2");
        assert_eq!(named(SourceCodec::Other("G.711 µ-law".to_owned()), 1), "PCMU/8000");
        assert_eq!(named(SourceCodec::Other("G.726".to_owned()), 1), "G.726/8000");
    }
}
