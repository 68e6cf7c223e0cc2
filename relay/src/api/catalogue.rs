//! `GET /api/streams`: every stream with its state, its variants, and advice on the camera's settings.

use sightline_media::fmp4::init::Reordering;
use sightline_protocol::catalogue::{AudioInfo, Catalogue, ReaderInfo, StreamInfo};
use sightline_protocol::stream::{StreamName, Variant};
use sightline_protocol::{SUBPROTOCOL, VERSION};
use tokio::time::Instant;

use crate::config::Label;
use crate::hub::rendition::{AudioForm, Status};
use crate::hub::{Hub, Stream};

/// The note of a source that has sent video but no key frame yet.
const AWAITS_KEY_FRAME: &str = "The camera sends video, which can be shown from its next key frame on. A shorter key frame \
                                interval in the camera (\"I-frame interval\", \"GOP\"; no \"smart codec\") shortens the wait. \
                                A camera with intra refresh has no key frames: turn that off, or set `encode = \"h264\"` \
                                for this stream.";

/// The catalogue of `hub` at `now`. `webrtc` says whether the relay offers WebRTC. `can_log_out` depends on the request and is
/// false here.
pub(crate) fn catalogue(hub: &Hub, now: Instant, webrtc: bool) -> Catalogue {
    Catalogue {
        version: VERSION.to_owned(),
        protocols: vec![SUBPROTOCOL.to_owned()],
        webrtc,
        can_log_out: false,
        streams: hub.streams().iter().map(|(name, stream)| stream_info(name, stream, now)).collect(),
    }
}

pub(crate) fn stream_info(name: &StreamName, stream: &Stream, now: Instant) -> StreamInfo {
    let variants: Vec<_> = stream.renditions().map(|rendition| rendition.info(now)).collect();
    let reordering = stream.rendition(Variant::Copy).reordering();
    let note = reordering.and_then(|reordering| match reordering {
        Reordering::Absent => None,
        Reordering::AbsentDeclared => Some(
            "The camera does not declare that it sends no B-frames, which makes browsers show it late; the relay declares \
             it instead. `amend_sps = false` forwards it untouched.",
        ),
        Reordering::Present => Some(
            "The camera sends B-frames, which cost delay; it is shown transcoded. Turn B-frames off in the camera to \
             see its own picture untouched.",
        ),
    });
    let reader = stream.reader().get();
    let reader =
        reader.map(|reader| ReaderInfo { name: reader.name, reason: reader.fallback.map(|fallback| fallback.message) });
    let fallback = reader.as_ref().and_then(|reader| {
        Some(format!("FFmpeg reads the camera, which adds two frames of delay: {}.", reader.reason.as_ref()?))
    });
    let awaits = stream.rendition(Variant::Copy).awaits_key_frame().then(|| AWAITS_KEY_FRAME.to_owned());
    let notes = note.map(str::to_owned).into_iter().chain(fallback).chain(awaits).collect();
    let b_frames = reordering.map(|reordering| reordering == Reordering::Present);
    let audio = stream.audio_buffer().audio().map(|source| {
        let [sent, opus] = AudioForm::ALL.map(|form| stream.audio(form).info(now));
        AudioInfo {
            source: source.codec.to_string(),
            sample_rate: source.sample_rate,
            channels: source.channels,
            codec: sent.codec.or(opus.codec),
            bit_rate: sent.bit_rate.or(opus.bit_rate),
            listeners: sent.viewers + opus.viewers + stream.rendition(Variant::Copy).subscribers().borrow().listeners,
        }
    });
    // A wall may read nothing but the sub stream.
    let main = stream.rendition(Variant::Copy).status();
    let status = if stream.has_sub() && main == Status::Idle { stream.rendition(Variant::Low).status() } else { main };
    let relay = stream.relay().map(ToString::to_string);
    let Label { title, group } = stream.label().clone();
    StreamInfo {
        name: name.clone(),
        title,
        group,
        state: status.to_wire(now),
        b_frames,
        notes,
        reader,
        relay,
        audio,
        variants,
    }
}
