//! The hub: every rendition of every configured stream. Ingest publishes into it, egress reads from it; neither knows
//! the other.

pub mod changes;
pub mod rendition;
pub mod ring;
pub mod tap;

use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;
use sightline_protocol::catalogue::{AudioInfo, Catalogue, StreamInfo};
use sightline_protocol::stream::{StreamName, Variant};
use sightline_protocol::{SUBPROTOCOL, VERSION};
use tokio::time::Instant;

use crate::fmp4::init::PictureOrder;
use changes::Changes;
use rendition::Rendition;
use ring::Limits;
use tap::Tap;

/// The renditions of one stream.
#[derive(Debug, Clone)]
pub struct Stream {
    copy: Arc<Rendition>,
    h264: Arc<Rendition>,
    low: Arc<Rendition>,
    has_low: bool,
    tap: Arc<Tap>,
    audio: Arc<Rendition>,
}

impl Stream {
    fn new(name: &StreamName, limits: Limits, has_low: bool, changes: &Changes) -> Self {
        let rendition = |variant| Rendition::new(name.clone(), variant, limits, changes.clone());
        Self {
            copy: rendition(Variant::Copy),
            h264: rendition(Variant::H264),
            low: rendition(Variant::Low),
            has_low,
            tap: Arc::default(),
            audio: Rendition::audio(name.clone(), limits, changes.clone()),
        }
    }

    /// The source's audio as it came.
    pub fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }

    /// The audio that goes with every variant, in the form that browsers play.
    pub fn audio(&self) -> &Arc<Rendition> {
        &self.audio
    }

    /// The rendition of that variant.
    pub fn rendition(&self, variant: Variant) -> &Arc<Rendition> {
        match variant {
            Variant::Copy => &self.copy,
            Variant::H264 => &self.h264,
            Variant::Low => &self.low,
        }
    }

    /// Whether this is the same stream, not only one of the same name.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.copy, &other.copy)
    }

    /// Whether there is a source for [`Variant::Low`].
    pub fn has_low(&self) -> bool {
        self.has_low
    }

    /// The renditions that there is a source for.
    pub fn renditions(&self) -> impl Iterator<Item = &Arc<Rendition>> {
        let offered = Variant::ALL.into_iter().filter(|&variant| variant != Variant::Low || self.has_low);
        offered.map(|variant| self.rendition(variant))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    has_low: bool,
    changes: Changes,
    /// Replaced as a whole: who looks at it sees all of one configuration.
    streams: RwLock<Arc<IndexMap<StreamName, Stream>>>,
}

impl Hub {
    /// A hub with idle renditions for each of `names`, the light one only where it `has_low`.
    pub fn new(names: impl IntoIterator<Item = StreamName>, limits: Limits, has_low: bool) -> Self {
        let hub = Self { limits, has_low, changes: Changes::default(), streams: RwLock::default() };
        hub.set(names);
        hub
    }

    /// From now on it has these streams, in this order. What it had before by the same name stays as it is.
    pub fn set(&self, names: impl IntoIterator<Item = StreamName>) {
        let before = self.streams();
        let stream = |name: StreamName| {
            let stream = before.get(&name).cloned();
            let stream = stream.unwrap_or_else(|| Stream::new(&name, self.limits, self.has_low, &self.changes));
            (name, stream)
        };
        let streams = names.into_iter().map(stream).collect();
        *self.streams.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(streams);
        self.changes.say();
    }

    /// Tells when the catalogue is no longer what it was.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The stream of that name.
    pub fn stream(&self, name: &StreamName) -> Option<Stream> {
        self.streams().get(name).cloned()
    }

    /// Every stream by its name.
    pub fn streams(&self) -> Arc<IndexMap<StreamName, Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every stream at the time `now`, of a relay that answers WebRTC viewers or does not.
    pub fn catalogue(&self, now: Instant, webrtc: bool) -> Catalogue {
        Catalogue {
            version: VERSION.to_owned(),
            protocols: vec![SUBPROTOCOL.to_owned()],
            webrtc,
            streams: self.streams().iter().map(|(name, stream)| stream_info(name, stream, now)).collect(),
        }
    }
}

fn stream_info(name: &StreamName, stream: &Stream, now: Instant) -> StreamInfo {
    let variants: Vec<_> = stream.renditions().map(|rendition| rendition.info(now)).collect();
    let order = stream.copy.order();
    let note = order.and_then(|order| match order {
        PictureOrder::AsSent => None,
        PictureOrder::Amended => Some(
            "The camera does not declare that it sends no B-frames, which makes browsers show it late; the relay declares \
             it instead. `amend_sps = false` forwards it untouched.",
        ),
        PictureOrder::Reordered => Some(
            "The camera sends B-frames, which cost delay; it is shown transcoded. Turn B-frames off in the camera to \
             see its own picture untouched.",
        ),
    });
    let notes = note.map(str::to_owned).into_iter().collect();
    let b_frames = order.map(|order| order == PictureOrder::Reordered);
    let audio = stream.tap.audio().map(|source| {
        let sent = stream.audio.info(now);
        AudioInfo {
            source: source.codec.to_string(),
            sample_rate: source.sample_rate,
            channels: source.channels,
            codec: sent.codec,
            bit_rate: sent.bit_rate,
            listeners: sent.viewers,
        }
    });
    StreamInfo { name: name.clone(), state: variants[0].state.clone(), b_frames, notes, audio, variants }
}
