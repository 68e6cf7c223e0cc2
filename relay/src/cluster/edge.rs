//! This relay as an edge: lists the streams of the other relays in its hub, and brings their renditions there while they have
//! viewers here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt as _;
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::StreamName;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::link::NatsLink;
use super::message::{Announcement, RenditionId};
use super::presence::{Change, Claim, Listed, Presence};
use super::remote::{Context, RemoteRendition, RemoteTarget};
use super::wire::Reassembler;
use crate::hub::rendition::Status;
use crate::hub::{Hub, RemoteStream, Stream};

/// Interval at which absent relays and changed names are noticed.
const TICK: Duration = Duration::from_millis(500);
/// Ticks between two measurements of a relay's clock.
const CLOCK_TICKS: u64 = 10;
/// Measurements of the clock of a relay that appears, so that the first viewer's frames have the right age.
const FIRST_MEASUREMENTS: usize = 5;

/// Maximum number of subjects with a partial announcement. Any relay that may publish can invent subjects.
const CHUNKED_MAX: usize = 4096;

/// The message for viewers of a stream that its relay does not have any more.
const GONE: &str = "the relay that read this camera does not announce it any more";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Edge {
    context: Arc<Context>,
    hub: Arc<Hub>,
    control: NatsLink,
    presence: Presence,
    /// The chunks of announcements, by their subjects.
    chunks: HashMap<String, Reassembler>,
    remote: HashMap<StreamName, Remote>,
    /// The list in the hub.
    listed: Vec<RemoteStream>,
    /// Whether a message that cannot be read was logged.
    has_warned: bool,
    /// Start times of relays that have this one's name.
    namesakes: BTreeSet<u64>,
}

/// A stream of another relay. Its tasks end with this.
#[derive(Debug)]
struct Remote {
    stream: Stream,
    target: watch::Sender<RemoteTarget>,
    stop: DropGuard,
}

impl Edge {
    pub(super) fn new(context: Arc<Context>, hub: Arc<Hub>, control: NatsLink) -> Self {
        let presence = Presence::new(context.own.clone());
        Self {
            context,
            hub,
            control,
            presence,
            chunks: HashMap::new(),
            remote: HashMap::new(),
            listed: Vec::new(),
            has_warned: false,
            namesakes: BTreeSet::new(),
        }
    }

    /// Follows the other relays until it is dropped. `epoch` is this relay's own.
    ///
    /// # Errors
    /// The connection is closed, which happens to none that connects again for ever.
    pub(super) async fn run(mut self, epoch: u64) -> Result<(), async_nats::SubscribeError> {
        let mut announcements = self.control.client.subscribe(self.context.subjects.presence_of_all()).await?;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            tokio::select! {
                Some(message) = announcements.next() => self.take(&message, epoch),
                _ = ticks.tick() => {
                    self.expire();
                    self.update();
                    count += 1;
                    if count % CLOCK_TICKS == 0 {
                        self.measure_clocks();
                    }
                }
            }
        }
    }

    fn take(&mut self, message: &Message, epoch: u64) {
        if self.chunks.len() >= CHUNKED_MAX {
            self.chunks.clear();
        }
        let chunks = self.chunks.entry(message.subject.to_string()).or_default();
        let announcement = match chunks.push(&message.payload) {
            Ok(None) => return,
            Ok(Some(packet)) => serde_json::from_slice::<Announcement>(&packet.payload).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match announcement {
            Ok(announcement) if announcement.relay == self.context.own => {
                if announcement.epoch != epoch && self.namesakes.insert(announcement.epoch) {
                    let name = announcement.relay;
                    warn!(name, "another relay has this relay's name; give each a cluster.name of its own");
                }
            }
            Ok(announcement) => {
                let relay = announcement.relay.clone();
                if let Some(change) = self.presence.announce(announcement, Instant::now()) {
                    log(&change);
                    self.measure_clock(&relay, FIRST_MEASUREMENTS);
                    self.update();
                }
            }
            Err(error) if !self.has_warned => {
                self.has_warned = true;
                warn!(subject = %message.subject, "an announcement cannot be read: {error}");
            }
            Err(_) => {}
        }
    }

    fn expire(&mut self) {
        for change in self.presence.expire(Instant::now()) {
            log(&change);
            if let Change::Forgotten(relay) = change {
                self.chunks.remove(&self.context.subjects.presence(&relay));
            }
        }
    }

    /// Brings the hub and the tasks in line with the announcements.
    fn update(&mut self) {
        let streams = self.hub.streams();
        let own = streams.iter().filter(|(_, stream)| stream.relay().is_none()).map(|(name, _)| name.clone());
        let (listed, claims) = self.presence.list(&own.collect());
        claims.iter().for_each(log_claim);
        let in_hub: Vec<_> = listed.iter().map(remote_stream).collect();
        if in_hub != self.listed {
            self.hub.set_remote(in_hub.iter().cloned());
            self.listed = in_hub;
        }
        self.context.stats.set_remote(self.presence.present().count(), listed.len());
        let names: BTreeSet<_> = listed.iter().map(|listed| &listed.name).collect();
        for (_, Remote { stream, stop, .. }) in self.remote.extract_if(|name, _| !names.contains(name)) {
            // Its tasks publish nothing more.
            drop(stop);
            say_gone(&stream);
        }
        for listed in &listed {
            self.follow(listed);
        }
    }

    /// Starts the tasks of a stream, or tells them where it is.
    fn follow(&mut self, listed: &Listed) {
        let Some(stream) = self.hub.stream(&listed.name).filter(|stream| stream.relay().is_some()) else { return };
        if let Some(audio) = &listed.stream.audio {
            stream.audio_buffer().describe(Some(audio.clone().into()));
        }
        let target = RemoteTarget {
            relay: listed.relay.clone(),
            stream: listed.stream.name.clone(),
            epoch: listed.epoch,
            is_away: listed.is_away,
        };
        if let Some(remote) = self.remote.get(&listed.name).filter(|remote| remote.stream.is(&stream)) {
            remote.target.send_if_modified(|now| {
                let is_news = *now != target;
                *now = target;
                is_news
            });
            return;
        }
        let (sender, receiver) = watch::channel(target);
        let stop = CancellationToken::new();
        for id in RenditionId::ALL {
            let rendition = RemoteRendition::new(self.context.clone(), &stream, id, receiver.clone());
            tokio::spawn(rendition.run(stop.clone()));
        }
        self.remote.insert(listed.name.clone(), Remote { stream, target: sender, stop: stop.drop_guard() });
    }

    fn measure_clocks(&self) {
        let present: BTreeSet<&str> = self.presence.present().collect();
        self.context.clocks.retain(|relay| present.contains(relay));
        present.into_iter().for_each(|relay| self.measure_clock(relay, 1));
    }

    fn measure_clock(&self, relay: &str, times: usize) {
        let (client, subject) = (self.control.client.clone(), self.context.subjects.clock(relay));
        if self.control.away().is_none() {
            tokio::spawn(self.context.clocks.clone().measure(client, relay.to_owned(), subject, times));
        }
    }
}

fn remote_stream(listed: &Listed) -> RemoteStream {
    RemoteStream {
        name: listed.name.clone(),
        relay: listed.relay.as_str().into(),
        has_low: listed.stream.low,
        has_sub: listed.stream.sub,
    }
}

fn say_gone(stream: &Stream) {
    for rendition in stream.renditions().chain(stream.audio_renditions()) {
        let (reason, retry_at) = (OfflineReason::NotFound, Instant::now());
        rendition.stop(Status::Offline { reason, message: GONE.into(), retry_at });
    }
}

fn log(change: &Change) {
    match change {
        Change::Appeared(relay, streams) => info!(relay, streams, "another relay is there"),
        Change::Restarted(relay) => info!(relay, "another relay has started again"),
        Change::Away(relay) => warn!(relay, "another relay is not heard any more; its streams are offline"),
        Change::Forgotten(relay) => info!(relay, "another relay was not heard for an hour; its streams are removed"),
    }
}

fn log_claim(claim: &Claim) {
    warn!(
        name = claim.name.as_str(),
        relays = claim.relays.join(", "),
        "several relays have a stream of this name; it shows that of relay {}, and name@relay each of the others'",
        claim.holder
    );
}
