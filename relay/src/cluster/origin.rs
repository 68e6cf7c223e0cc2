//! This relay as the origin of its streams: announces them, and publishes the renditions in which other relays are interested.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use sightline_protocol::message::{OfflineReason, StreamState};
use sightline_protocol::stream::StreamName;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

use super::interests::Interests;
use super::link::{LinkState, NatsLink, send};
use super::message::{AnnouncedStream, Announcement, Interest, RenditionId, Snapshot, json};
use super::publisher::RenditionPublisher;
use super::stats::Stats;
use super::subject::Subjects;
use super::wire::{Packet, PacketKind};
use crate::clock;
use crate::hub::{Hub, Stream};

/// Interval of announcements. A quarter of the time in which they expire.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// Joins of one rendition that wait for its publisher, which answers at once. A join beyond it is repeated by its relay.
const JOINS_MAX: usize = 64;

/// A rendition.
type PublisherKey = (StreamName, RenditionId);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Origin {
    /// This relay's name.
    name: String,
    /// When this relay started: milliseconds since the Unix epoch.
    epoch: u64,
    subjects: Subjects,
    hub: Arc<Hub>,
    control: NatsLink,
    media: NatsLink,
    stats: Arc<Stats>,
    interests: Interests<PublisherKey>,
    publishers: HashMap<PublisherKey, RunningPublisher>,
    /// Since when each stream is announced: milliseconds since the Unix epoch.
    since: BTreeMap<StreamName, u64>,
    /// The number of the next announcement.
    number: u64,
}

/// A publisher. It ends with this.
#[derive(Debug)]
struct RunningPublisher {
    stream: Stream,
    joins: mpsc::Sender<Subject>,
    _stop: DropGuard,
}

impl Origin {
    /// The relay `name`, which started at `epoch`.
    pub(super) fn new(
        name: String,
        epoch: u64,
        subjects: Subjects,
        (hub, (control, media)): (Arc<Hub>, (NatsLink, NatsLink)),
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            name,
            epoch,
            subjects,
            hub,
            control,
            media,
            stats,
            interests: Interests::default(),
            publishers: HashMap::new(),
            since: BTreeMap::new(),
            number: 0,
        }
    }

    /// Serves other relays until it is dropped.
    ///
    /// # Errors
    /// The connection is closed, which happens to none that connects again for ever.
    pub(super) async fn run(mut self) -> Result<(), async_nats::SubscribeError> {
        let client = self.control.client.clone();
        let mut interests = client.subscribe(self.subjects.interests(&self.name)).await?;
        let mut joins = client.subscribe(self.subjects.joins(&self.name)).await?;
        let mut clock_requests = client.subscribe(self.subjects.clock(&self.name)).await?;
        let mut ticks = interval(ANNOUNCE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = self.control.watch();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.announce().await;
                    self.expire();
                }
                Ok(()) = state.changed() => {
                    // Other relays wait for it.
                    if *state.borrow_and_update() == LinkState::Up {
                        ticks.reset_immediately();
                    }
                }
                Some(message) = interests.next() => self.take_interest(&message),
                Some(message) = joins.next() => self.join(message),
                Some(message) = clock_requests.next() => self.tell_time(message).await,
            }
        }
    }

    /// This relay's streams.
    fn own_streams(&self) -> Vec<(StreamName, Stream)> {
        let streams = self.hub.streams();
        let own = streams.iter().filter(|(_, stream)| stream.relay().is_none());
        own.map(|(name, stream)| (name.clone(), stream.clone())).collect()
    }

    async fn announce(&mut self) {
        if self.control.away().is_some() {
            return;
        }
        let (own, now) = (self.own_streams(), clock::unix_ms() as u64);
        let names: BTreeSet<&StreamName> = own.iter().map(|(name, _)| name).collect();
        self.since.retain(|name, _| names.contains(name));
        let streams = own.iter().map(|(name, stream)| AnnouncedStream {
            name: name.clone(),
            since: *self.since.entry(name.clone()).or_insert(now),
            low: stream.has_low() && !stream.has_sub(),
            sub: stream.has_sub(),
            audio: stream.audio_buffer().audio().map(Into::into),
        });
        let announcement = Announcement { relay: self.name.clone(), epoch: self.epoch, streams: streams.collect() };
        let payload = json(&announcement);
        let packet = Packet { kind: PacketKind::Announcement, run: self.epoch, number: self.number, payload };
        self.number += 1;
        send(&self.control.client, &self.subjects.presence(&self.name), &packet, |_| {}).await;
    }

    fn expire(&mut self) {
        for key in self.interests.expire(Instant::now()) {
            self.stop(&key);
        }
        self.stats.set_interests(self.interests.count());
    }

    fn stop(&mut self, key: &PublisherKey) {
        if self.publishers.remove(key).is_some() {
            info!(stream = %key.0, rendition = key.1.as_str(), "no other relay shows it any more");
        }
    }

    fn take_interest(&mut self, message: &Message) {
        let Some(interest) = read_interest(message) else { return };
        // The server has checked the permission for the subject.
        if message.subject.as_str() != self.subjects.interest(&self.name, &interest.stream, interest.rendition) {
            return;
        }
        let key = (interest.stream, interest.rendition);
        if interest.ends {
            if self.interests.end(&key, &interest.relay) {
                self.stop(&key);
            }
        } else if self.start(&key) {
            self.interests.renew(key, interest.relay, Instant::now());
        }
        self.stats.set_interests(self.interests.count());
    }

    fn join(&mut self, message: Message) {
        let (Some(interest), Some(inbox)) = (read_interest(&message), message.reply) else { return };
        if message.subject.as_str() != self.subjects.join(&self.name, &interest.stream, interest.rendition) {
            return;
        }
        let key = (interest.stream, interest.rendition);
        if !self.start(&key) {
            return self.refuse(inbox, &key);
        }
        let Some(publisher) = self.publishers.get(&key) else { return };
        if publisher.joins.try_send(inbox).is_err() {
            debug!(stream = %key.0, relay = interest.relay, "too many relays join at once");
        }
        self.interests.renew(key, interest.relay, Instant::now());
        self.stats.set_interests(self.interests.count());
    }

    /// Answers a join of a rendition that does not exist.
    fn refuse(&self, inbox: Subject, (stream, rendition): &PublisherKey) {
        let message = format!("relay {} has no stream {stream} with {}", self.name, rendition.as_str());
        let status = StreamState::Offline { reason: OfflineReason::NotFound, message, retry_in_ms: 1000 };
        let payload = json(&Snapshot { status, messages: 0 });
        let packet = Packet { kind: PacketKind::Snapshot, run: 0, number: 0, payload };
        let client = self.media.client.clone();
        tokio::spawn(async move { send(&client, &inbox, &packet, |_| {}).await });
    }

    /// Publishes a rendition, unless it is already published. Returns whether it exists.
    fn start(&mut self, key: &PublisherKey) -> bool {
        let offered = |stream: &Stream| {
            let is_low = key.1 == RenditionId::Low;
            stream.relay().is_none() && (!is_low || stream.has_low())
        };
        let Some(stream) = self.hub.stream(&key.0).filter(offered) else {
            self.stop(key);
            return false;
        };
        let runs = |running: &RunningPublisher| running.stream.is(&stream) && !running.joins.is_closed();
        if self.publishers.get(key).is_some_and(runs) {
            return true;
        }
        info!(stream = %key.0, rendition = key.1.as_str(), "another relay shows it");
        let publisher = RenditionPublisher {
            client: self.media.client.clone(),
            subject: self.subjects.media(&self.name, &key.0, key.1),
            stream: stream.clone(),
            rendition: key.1,
            epoch: self.epoch,
            stats: self.stats.clone(),
        };
        let (joins, waiting) = mpsc::channel(JOINS_MAX);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = publisher.run(waiting) => {}
                () = stopped.cancelled() => {}
            }
        });
        self.publishers.insert(key.clone(), RunningPublisher { stream, joins, _stop: stop.drop_guard() });
        true
    }

    /// Answers with this relay's clock, in milliseconds since the Unix epoch.
    async fn tell_time(&self, message: Message) {
        if let Some(inbox) = message.reply {
            let now = Bytes::copy_from_slice(&clock::unix_ms().to_be_bytes());
            let _ = self.control.client.publish(inbox, now).await;
        }
    }
}

fn read_interest(message: &Message) -> Option<Interest> {
    match serde_json::from_slice(&message.payload) {
        Ok(interest) => Some(interest),
        Err(error) => {
            debug!(subject = %message.subject, "a message that cannot be read: {error}");
            None
        }
    }
}
