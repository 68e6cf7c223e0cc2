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

use crate::config::Label;

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
    label: Arc<Label>,
    audio_buffer: Arc<AudioBuffer>,
    audio: Arc<Rendition>,
    opus: Arc<Rendition>,
    reader: Arc<SourceReader>,
    /// The relay of the cluster that reads the source; `None` for this one.
    relay: Option<Arc<str>>,
}

/// A stream that another relay of the cluster reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStream {
    /// Its name on this relay.
    pub name: StreamName,
    /// The name of the other relay.
    pub relay: Arc<str>,
    /// Whether [`Variant::Low`] is offered there as a transcode.
    pub has_low: bool,
    /// Whether [`Variant::Low`] is the camera's sub stream there.
    pub has_sub: bool,
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
            label: Arc::default(),
            audio_buffer: Arc::default(),
            audio: Rendition::audio(name.clone(), AudioForm::AsIs, limits, changes.clone()),
            opus: Rendition::audio(name.clone(), AudioForm::Opus, limits, changes.clone()),
            reader: Arc::new(SourceReader::new(changes.clone())),
            relay: None,
        }
    }

    /// The relay of the cluster that reads the source; `None` for this one.
    pub fn relay(&self) -> Option<&Arc<str>> {
        self.relay.as_ref()
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

    /// Whether `variant` is that sub stream.
    pub fn is_sub(&self, variant: Variant) -> bool {
        variant == Variant::Low && self.has_sub
    }

    /// The seconds to add to a time on the main stream's timeline for the same moment on the sub stream's, by the capture times of
    /// both. `None` unless both send frames.
    pub fn sub_shift(&self) -> Option<f64> {
        Some(self.copy.captured_from()? - self.low.captured_from()?)
    }

    /// The title and the group.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The renditions of the offered variants.
    pub fn renditions(&self) -> impl Iterator<Item = &Arc<Rendition>> {
        let offered = Variant::ALL.into_iter().filter(|&variant| variant != Variant::Low || self.has_low());
        offered.map(|variant| self.rendition(variant))
    }
}

/// What the configuration says of a stream, besides its source.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    /// Whether the stream has a sub stream.
    pub has_sub: bool,
    /// Its title and group.
    pub label: Label,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Hub {
    limits: RingLimits,
    has_low: bool,
    changes: Changes,
    streams: RwLock<Streams>,
}

/// The streams of a hub.
#[derive(Debug, Default)]
struct Streams {
    /// Those of the configuration, in its order.
    configured: IndexMap<StreamName, Stream>,
    /// Those of other relays.
    remote: IndexMap<StreamName, Stream>,
    /// Both. Replaced as a whole, so that a reader sees exactly one configuration.
    all: Arc<IndexMap<StreamName, Stream>>,
}

impl Hub {
    /// A hub with idle renditions for each of `names`; `low` is offered only if `has_low`.
    pub fn new(names: impl IntoIterator<Item = StreamName>, limits: RingLimits, has_low: bool) -> Self {
        let hub = Self { limits, has_low, changes: Changes::default(), streams: RwLock::default() };
        hub.set(names.into_iter().map(|name| (name, StreamOptions::default())));
        hub
    }

    /// Replaces the streams of the configuration, in this order. A stream that keeps its name keeps its renditions.
    pub fn set(&self, streams: impl IntoIterator<Item = (StreamName, StreamOptions)>) {
        self.replace(|all| {
            let before = std::mem::take(&mut all.configured);
            let stream = |(name, StreamOptions { has_sub, label }): (StreamName, StreamOptions)| {
                let stream = before.get(&name).cloned();
                let stream = stream.unwrap_or_else(|| Stream::new(&name, self.limits, self.has_low, &self.changes));
                (name, Stream { has_sub, label: Arc::new(label), ..stream })
            };
            all.configured = streams.into_iter().map(stream).collect();
        });
    }

    /// Replaces the streams of other relays. They follow those of the configuration, which keep their names: a remote stream of
    /// the same name is not listed. A stream that keeps its name keeps its renditions.
    pub fn set_remote(&self, streams: impl IntoIterator<Item = RemoteStream>) {
        self.replace(|all| {
            let before = std::mem::take(&mut all.remote);
            let stream = |RemoteStream { name, relay, has_low, has_sub }: RemoteStream| {
                let stream = before.get(&name).cloned();
                let stream = stream.unwrap_or_else(|| Stream::new(&name, self.limits, has_low, &self.changes));
                (name, Stream { has_low, has_sub, relay: Some(relay), ..stream })
            };
            all.remote = streams.into_iter().map(stream).collect();
        });
    }

    fn replace(&self, change: impl FnOnce(&mut Streams)) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut streams);
        let Streams { configured, remote, .. } = &*streams;
        let remote = remote.iter().filter(|(name, _)| !configured.contains_key(*name));
        let all = configured.iter().chain(remote).map(|(name, stream)| (name.clone(), stream.clone())).collect();
        streams.all = Arc::new(all);
        drop(streams);
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
        self.streams.read().unwrap_or_else(PoisonError::into_inner).all.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str, has_low: bool) -> RemoteStream {
        RemoteStream { name: name.parse().unwrap(), relay: "b".into(), has_low, has_sub: false }
    }

    fn names(hub: &Hub) -> Vec<String> {
        hub.streams().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn remote_streams_follow_the_configured_ones_and_never_replace_them() {
        let hub = Hub::new(["yard".parse().unwrap()], RingLimits::default(), true);
        let yard = hub.stream(&"yard".parse().unwrap()).unwrap();
        hub.set_remote([remote("gate", false), remote("yard", false)]);
        assert_eq!(names(&hub), ["yard", "gate"]);
        let gate = hub.stream(&"gate".parse().unwrap()).unwrap();
        assert!(hub.stream(&"yard".parse().unwrap()).unwrap().is(&yard) && yard.relay().is_none());
        assert!(gate.relay().is_some_and(|relay| **relay == *"b") && !gate.has_low());
        hub.set_remote([remote("gate", true)]);
        let again = hub.stream(&"gate".parse().unwrap()).unwrap();
        assert!(again.is(&gate) && again.has_low(), "its viewers continue");
        hub.set(["gate", "door"].map(|name| (name.parse().unwrap(), StreamOptions::default())));
        assert_eq!(names(&hub), ["gate", "door"]);
        assert!(!hub.stream(&"gate".parse().unwrap()).unwrap().is(&gate), "another source");
        hub.set([]);
        assert!(hub.stream(&"gate".parse().unwrap()).unwrap().is(&gate));
    }
}
