//! The hub: every rendition of every configured stream. Ingest publishes to it and egress reads from it; neither depends on the
//! other.

pub mod audio_buffer;
pub mod changes;
pub mod rendition;
pub mod ring;
pub mod source_reader;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;
use sightline_protocol::stream::{StreamName, Variant};

use audio_buffer::AudioBuffer;
use changes::Changes;
use rendition::{AudioForm, Protocol, Rendition, Subscription};
use ring::RingLimits;
use source_reader::SourceReader;

/// The renditions of one stream, for one client.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Option<IpAddr>,
    copy: Arc<Rendition>,
    h264: Arc<Rendition>,
    low: Arc<Rendition>,
    has_low: bool,
    /// Whether [`Variant::Low`] is the camera's sub stream and not a transcode.
    has_sub: bool,
    audio_buffer: Arc<AudioBuffer>,
    audio: Arc<Rendition>,
    opus: Arc<Rendition>,
    reader: Arc<SourceReader>,
}

impl Stream {
    fn new(name: &StreamName, limits: RingLimits, has_low: bool, changes: &Changes) -> Self {
        let rendition = |variant| Rendition::new(name.clone(), variant, limits, changes.clone());
        Self {
            client: None,
            copy: rendition(Variant::Copy),
            h264: rendition(Variant::H264),
            low: rendition(Variant::Low),
            has_low,
            has_sub: false,
            audio_buffer: Arc::default(),
            audio: Rendition::audio(name.clone(), AudioForm::AsIs, limits, changes.clone()),
            opus: Rendition::audio(name.clone(), AudioForm::Opus, limits, changes.clone()),
            reader: Arc::new(SourceReader::new(changes.clone())),
        }
    }

    /// The same renditions for a client, by the prefix by which limits count it; `None` counts for no client.
    pub fn for_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// Subscribes to the video of `variant` for a viewer of this client.
    pub fn subscribe(&self, variant: Variant, protocol: Protocol) -> Subscription {
        self.rendition(variant).subscribe_for(protocol, self.client)
    }

    /// What reads the source.
    pub fn reader(&self) -> &Arc<SourceReader> {
        &self.reader
    }

    /// The source's audio as received.
    pub fn audio_buffer(&self) -> &Arc<AudioBuffer> {
        &self.audio_buffer
    }

    /// The audio of every variant, in this form.
    pub fn audio(&self, form: AudioForm) -> &Arc<Rendition> {
        match form {
            AudioForm::AsIs => &self.audio,
            AudioForm::Opus => &self.opus,
        }
    }

    /// The renditions of the audio, one for each form.
    pub fn audio_renditions(&self) -> impl Iterator<Item = &Arc<Rendition>> {
        AudioForm::ALL.into_iter().map(|form| self.audio(form))
    }

    /// The rendition of `variant`.
    pub fn rendition(&self, variant: Variant) -> &Arc<Rendition> {
        match variant {
            Variant::Copy => &self.copy,
            Variant::H264 => &self.h264,
            Variant::Low => &self.low,
        }
    }

    /// Whether both are the same instance; a removed and re-added stream of the same name is another one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.copy, &other.copy)
    }

    /// Whether [`Variant::Low`] is offered.
    pub fn has_low(&self) -> bool {
        self.has_low || self.has_sub
    }

    /// Whether [`Variant::Low`] is the camera's sub stream, which no encoder makes: of any codec, and on a timeline of its own.
    pub fn has_sub(&self) -> bool {
        self.has_sub
    }

    /// The renditions of the offered variants.
    pub fn renditions(&self) -> impl Iterator<Item = &Arc<Rendition>> {
        let offered = Variant::ALL.into_iter().filter(|&variant| variant != Variant::Low || self.has_low());
        offered.map(|variant| self.rendition(variant))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Hub {
    limits: RingLimits,
    has_low: bool,
    changes: Changes,
    /// Replaced as a whole, so that a reader sees exactly one configuration.
    streams: RwLock<Arc<IndexMap<StreamName, Stream>>>,
}

impl Hub {
    /// A hub with idle renditions for each of `names`; `low` is offered only if `has_low`.
    pub fn new(names: impl IntoIterator<Item = StreamName>, limits: RingLimits, has_low: bool) -> Self {
        let hub = Self { limits, has_low, changes: Changes::default(), streams: RwLock::default() };
        hub.set(names.into_iter().map(|name| (name, false)));
        hub
    }

    /// Replaces the streams, in this order, each with whether it has a sub stream. A stream that keeps its name keeps its
    /// renditions.
    pub fn set(&self, streams: impl IntoIterator<Item = (StreamName, bool)>) {
        let before = self.streams();
        let stream = |(name, has_sub): (StreamName, bool)| {
            let stream = before.get(&name).cloned();
            let stream = stream.unwrap_or_else(|| Stream::new(&name, self.limits, self.has_low, &self.changes));
            (name, Stream { has_sub, ..stream })
        };
        let streams = streams.into_iter().map(stream).collect();
        *self.streams.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(streams);
        self.changes.notify();
    }

    /// Notifies of changes to the catalogue.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The stream `name`.
    pub fn stream(&self, name: &StreamName) -> Option<Stream> {
        self.streams().get(name).cloned()
    }

    /// All streams by name.
    pub fn streams(&self) -> Arc<IndexMap<StreamName, Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
