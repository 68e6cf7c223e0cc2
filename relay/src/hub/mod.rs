//! The hub: every rendition of every configured stream. Ingest publishes into it, egress reads from it; neither knows
//! the other.

pub mod rendition;
pub mod ring;

use std::sync::Arc;

use indexmap::IndexMap;
use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::catalogue::{Catalogue, StreamInfo};
use sightline_protocol::stream::{StreamName, Variant};
use tokio::time::Instant;

use rendition::Rendition;
use ring::Limits;

/// The renditions of one stream.
#[derive(Debug, Clone)]
pub struct Stream {
    copy: Arc<Rendition>,
    h264: Arc<Rendition>,
}

impl Stream {
    fn new(name: &StreamName, limits: Limits) -> Self {
        let rendition = |variant| Rendition::new(name.clone(), variant, limits);
        Self { copy: rendition(Variant::Copy), h264: rendition(Variant::H264) }
    }

    /// The rendition of that variant.
    pub fn rendition(&self, variant: Variant) -> &Arc<Rendition> {
        match variant {
            Variant::Copy => &self.copy,
            Variant::H264 => &self.h264,
        }
    }
}

/// See the [module](self). The set of streams is fixed for the hub's life.
#[derive(Debug)]
pub struct Hub {
    streams: IndexMap<StreamName, Stream>,
}

impl Hub {
    /// A hub with idle renditions for each of `names`.
    pub fn new(names: impl IntoIterator<Item = StreamName>, limits: Limits) -> Self {
        let streams = names.into_iter().map(|name| {
            let stream = Stream::new(&name, limits);
            (name, stream)
        });
        Self { streams: streams.collect() }
    }

    /// The stream of that name.
    pub fn stream(&self, name: &StreamName) -> Option<&Stream> {
        self.streams.get(name)
    }

    /// Every stream at the time `now`.
    pub fn catalogue(&self, now: Instant) -> Catalogue {
        Catalogue {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: vec![SUBPROTOCOL.to_owned()],
            streams: self.streams.iter().map(|(name, stream)| stream_info(name, stream, now)).collect(),
        }
    }
}

fn stream_info(name: &StreamName, stream: &Stream, now: Instant) -> StreamInfo {
    let variants: Vec<_> = Variant::ALL.iter().map(|&variant| stream.rendition(variant).info(now)).collect();
    let b_frames = stream.copy.format().map(|(_, reorders)| reorders);
    let mut notes = Vec::new();
    if b_frames == Some(true) {
        notes.push(
            "The camera sends B-frames, which cost delay; it is shown transcoded. Turn B-frames off in the camera to \
             see its own picture untouched."
                .to_owned(),
        );
    }
    StreamInfo { name: name.clone(), state: variants[0].state.clone(), b_frames, notes, variants }
}
