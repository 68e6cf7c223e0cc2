//! Publishes one rendition of this relay for the other relays that are interested in it, as one viewer of it.
//!
//! It reads the ring at its own cursor. While the connection to the NATS server is slow it waits, and skips to the newest key frame
//! then. An answer to a join is sent beside the published messages, so that a large GOP delays no frame.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::{GapReason, TrackKind};
use sightline_protocol::stream::Variant;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backlog::Backlog;
use super::link::send;
use super::message::{RenditionId, Snapshot, json, write_init};
use super::stats::Stats;
use super::wire::{Packet, PacketKind};
use crate::config::DEFAULT_RING_BYTES;
use crate::hub::Stream;
use crate::hub::rendition::{AudioForm, Event, Protocol, Rendition, Status, Subscription};
use crate::hub::ring::Step;

/// A cursor with a longer lag skips to the newest key frame.
const TOLERATED_LAG: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct RenditionPublisher {
    pub(super) client: Client,
    pub(super) subject: String,
    pub(super) stream: Stream,
    pub(super) rendition: RenditionId,
    /// [`Announcement::epoch`](super::message::Announcement::epoch) of this relay.
    pub(super) epoch: u64,
    pub(super) stats: Arc<Stats>,
}

/// The rendition `id` of `stream`.
pub(super) fn rendition(stream: &Stream, id: RenditionId) -> &Arc<Rendition> {
    match id {
        RenditionId::Copy => stream.rendition(Variant::Copy),
        RenditionId::H264 => stream.rendition(Variant::H264),
        RenditionId::Low => stream.rendition(Variant::Low),
        RenditionId::Audio => stream.audio(AudioForm::AsIs),
        RenditionId::Opus => stream.audio(AudioForm::Opus),
    }
}

impl RenditionPublisher {
    /// Publishes until it is dropped, and answers joins at these subjects.
    pub(super) async fn run(self, mut joins: mpsc::Receiver<Subject>) {
        let subscription = rendition(&self.stream, self.rendition).subscribe_for(Protocol::Cluster, None);
        let backlog = Backlog::new(self.rendition.kind(), DEFAULT_RING_BYTES);
        let mut run = PublisherRun {
            publisher: &self,
            subscription,
            backlog,
            id: rand::random(),
            number: 0,
            has_caught_up: false,
        };
        loop {
            tokio::select! {
                biased;
                inbox = joins.recv() => match inbox {
                    Some(inbox) => run.answer(inbox),
                    None => return,
                },
                event = run.subscription.event() => run.publish(event).await,
            }
        }
    }

    async fn send(&self, packet: Packet) {
        send(&self.client, self.subject.as_str(), &packet, |length| self.stats.sent(length)).await;
    }
}

/// One run of numbers.
#[derive(Debug)]
struct PublisherRun<'a> {
    publisher: &'a RenditionPublisher,
    subscription: Subscription,
    backlog: Backlog,
    id: u64,
    /// The number of the next message.
    number: u64,
    /// Whether the cursor has reached the newest fragment.
    has_caught_up: bool,
}

impl PublisherRun<'_> {
    async fn publish(&mut self, event: Event) {
        match event {
            Event::Step(Step::Init(init)) => {
                if self.publisher.rendition.kind() == TrackKind::Audio {
                    // With the audio before the newest fragment, which covers the video's GOP.
                    self.subscription.start_at(init.timeline, Duration::ZERO);
                }
                self.has_caught_up = false;
                self.start_epoch(init).await;
            }
            Event::Step(Step::Fragment(fragment)) => self.publish_fragment(fragment).await,
            Event::Step(Step::Overrun(_)) => self.start_again().await,
            Event::Step(Step::Pending) => {}
            Event::Status(status) => self.publish_status(&status).await,
        }
        self.has_caught_up |= self.subscription.lag() < TOLERATED_LAG;
        if self.has_caught_up && self.subscription.skip_if_behind(TOLERATED_LAG, GapReason::Behind) > 0 {
            self.start_again().await;
        }
    }

    /// Fragments are missing before the next one, which is a key frame: the epoch begins again.
    async fn start_again(&mut self) {
        if let Some(init) = self.backlog.init().cloned() {
            self.start_epoch(init).await;
        }
    }

    async fn start_epoch(&mut self, init: Arc<InitSegment>) {
        let payload = self.init_payload(&init);
        self.backlog.start_epoch(self.number, init);
        self.send(PacketKind::Init, payload).await;
    }

    fn init_payload(&self, init: &InitSegment) -> Bytes {
        write_init(init, self.publisher.epoch, self.publisher.stream.audio_buffer().audio())
    }

    async fn publish_fragment(&mut self, fragment: Arc<Fragment>) {
        let payload = fragment.bytes.payload();
        self.backlog.push(self.number, fragment);
        self.send(PacketKind::Fragment, payload).await;
    }

    async fn publish_status(&mut self, status: &Status) {
        if self.subscription.rendition().newest_keyframe().is_none() && *status != Status::Live {
            self.backlog.end_epoch();
        }
        self.send(PacketKind::Status, json(&status.to_wire(Instant::now()))).await;
    }

    async fn send(&mut self, kind: PacketKind, payload: Bytes) {
        let packet = Packet { kind, run: self.id, number: self.number, payload };
        self.number += 1;
        self.publisher.send(packet).await;
    }

    /// Answers a join.
    fn answer(&self, inbox: Subject) {
        let status = self.subscription.rendition().status().to_wire(Instant::now());
        let packet = |kind, number, payload| Packet { kind, run: self.id, number, payload };
        let mut packets = Vec::new();
        if let Some(((number, init), fragments)) = self.backlog.newest() {
            packets.push(packet(PacketKind::Init, number, self.init_payload(&init)));
            let fragments = fragments.iter();
            packets.extend(
                fragments.map(|(number, fragment)| packet(PacketKind::Fragment, *number, fragment.bytes.payload())),
            );
        }
        let head = Snapshot { status, messages: packets.len() as u32 };
        packets.insert(0, packet(PacketKind::Snapshot, self.number, json(&head)));
        let (client, stats) = (self.publisher.client.clone(), self.publisher.stats.clone());
        tokio::spawn(async move {
            for packet in packets {
                send(&client, &inbox, &packet, |length| stats.sent(length)).await;
            }
        });
    }
}
