//! Brings one rendition of another relay into the hub, while it has subscribers here.
//!
//! It is interested in the rendition as long as viewers of this relay are. It joins at the newest key frame, publishes the messages,
//! and joins again after a gap. While the NATS server or the other relay is away, the rendition is offline with the reason; it goes
//! on by itself when they return, so that viewers stay connected.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, PublishError, StatusCode, SubscribeError, Subscriber};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use sightline_media::fmp4::Fragment;
use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::{OfflineReason, StreamState};
use sightline_protocol::stream::StreamName;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::clocks::Clocks;
use super::follower::{Action, Follower};
use super::link::NatsLink;
use super::message::{Interest, RenditionId, json, read_init};
use super::stats::Stats;
use super::subject::Subjects;
use super::wire::{Packet, PacketKind, Reassembler};
use crate::clock;
use crate::hub::Stream;
use crate::hub::audio_buffer::AudioBuffer;
use crate::hub::rendition::{Rendition, Status};
use crate::ingest::unsubscribed;

/// Interval of renewals of an interest: a third of the time in which it expires.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for an answer to a join. It takes milliseconds, and longer for a long GOP on a slow link.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum interval of joins: a link that loses every second message must not carry every GOP many times.
const JOIN_INTERVAL: Duration = Duration::from_millis(250);
/// Nominal time until the next attempt, for viewers. Attempts follow the state of the other relay.
const RETRY: Duration = Duration::from_secs(1);

/// Shared by all remote renditions.
#[derive(Debug)]
pub(super) struct Context {
    /// This relay's name.
    pub(super) own: String,
    pub(super) subjects: Subjects,
    pub(super) media: NatsLink,
    /// How long a rendition stays without subscribers.
    pub(super) idle_timeout: Duration,
    pub(super) clocks: Clocks,
    pub(super) stats: Arc<Stats>,
}

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteTarget {
    pub(super) relay: String,
    /// The stream's name there.
    pub(super) stream: StreamName,
    /// [`Announcement::epoch`](super::message::Announcement::epoch) of the relay.
    pub(super) epoch: u64,
    /// Whether the relay is not heard.
    pub(super) is_away: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct RemoteRendition {
    context: Arc<Context>,
    rendition: Arc<Rendition>,
    audio_buffer: Arc<AudioBuffer>,
    id: RenditionId,
    target: watch::Receiver<RemoteTarget>,
}

/// Why a session with the other relay ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The other relay did not answer.
    #[error("no answer")]
    NoAnswer,
}

impl RemoteRendition {
    /// The rendition `id` of `stream`, which is at `target`.
    pub(super) fn new(
        context: Arc<Context>,
        stream: &Stream,
        id: RenditionId,
        target: watch::Receiver<RemoteTarget>,
    ) -> Self {
        let rendition = super::publisher::rendition(stream, id).clone();
        Self { context, rendition, audio_buffer: stream.audio_buffer().clone(), id, target }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let rendition = self.rendition.clone();
        let mut subscribers = rendition.subscribers();
        loop {
            tokio::select! {
                _ = subscribers.wait_for(|subscribers| subscribers.any()) => {}
                () = stop.cancelled() => return,
            }
            let idle_timeout = self.context.idle_timeout;
            tokio::select! {
                () = self.follow() => {}
                () = unsubscribed(&rendition, idle_timeout) => {}
                () = stop.cancelled() => return,
            }
            self.end_interest().await;
            rendition.stop(Status::Idle);
            info!(rendition = rendition.label(), "stopped: no subscribers");
        }
    }

    /// Follows the stream wherever it is.
    async fn follow(&mut self) {
        let mut follower = Follower::default();
        let mut link = self.context.media.watch();
        loop {
            let target = self.target.borrow_and_update().clone();
            link.mark_unchanged();
            if let Some(why) = self.absence(&target) {
                follower.reset();
                self.show_offline(OfflineReason::Unreachable, &why);
                tokio::select! {
                    _ = self.target.changed() => {}
                    _ = link.changed() => {}
                }
                continue;
            }
            // A failure stays on show until the other relay answers.
            if self.rendition.status() == Status::Idle {
                self.rendition.set_status(Status::Starting);
            }
            let ended = tokio::select! {
                ended = self.session(&target, &mut follower) => ended,
                () = moved(self.target.clone(), &target) => continue,
                _ = link.changed() => continue,
            };
            follower.reset();
            if let Err(error) = ended {
                debug!(rendition = self.rendition.label(), relay = target.relay, "{error}");
                let why = format!(
                    "relay {} does not answer; check that it runs with publish = true and that NATS permits both relays \
                     their subjects",
                    target.relay
                );
                self.show_offline(OfflineReason::Unreachable, &why);
            }
        }
    }

    /// Why there can be no video now.
    fn absence(&self, target: &RemoteTarget) -> Option<String> {
        match self.context.media.away() {
            Some(why) => Some(format!("{why} (this stream is on relay {})", target.relay)),
            None if target.is_away => {
                Some(format!("relay {}, which reads this camera, is not heard; check that it runs", target.relay))
            }
            None => None,
        }
    }

    fn show_offline(&self, reason: OfflineReason, message: &str) {
        let is_shown = |status| matches!(status, Status::Offline { message: shown, .. } if *shown == *message);
        if !is_shown(self.rendition.status()) {
            warn!(rendition = self.rendition.label(), "{message}");
            self.rendition.fail(Status::Offline { reason, message: message.into(), retry_at: Instant::now() + RETRY });
        }
    }

    /// Follows the rendition at `target` until it does not answer.
    async fn session(&self, target: &RemoteTarget, follower: &mut Follower) -> Result<(), SessionError> {
        let client = &self.context.media.client;
        let subject = self.context.subjects.media(&target.relay, &target.stream, self.id);
        let mut published = client.subscribe(subject).await?;
        let mut reassembler = Reassembler::default();
        let mut renewal = interval_at(Instant::now() + RENEW_INTERVAL, RENEW_INTERVAL);
        loop {
            let joined = Instant::now();
            follower.join();
            let mut answers = Some(self.join(target).await?);
            let mut answer = Reassembler::default();
            let missing = loop {
                let actions = tokio::select! {
                    Some(message) = published.next() => {
                        self.receive(&message, &mut reassembler).map(|packet| follower.published(packet))
                    }
                    Some(message) = next(&mut answers) => {
                        if message.status == Some(StatusCode::NO_RESPONDERS) {
                            return self.no_answer().await;
                        }
                        self.receive(&message, &mut answer).map(|packet| follower.answered(packet))
                    }
                    _ = renewal.tick() => {
                        self.send_interest(target, false).await?;
                        None
                    }
                    () = sleep_until(joined + JOIN_TIMEOUT), if follower.is_joining() => {
                        return Err(SessionError::NoAnswer);
                    }
                };
                if let Some(missing) = self.apply(actions.unwrap_or_default(), target) {
                    break missing;
                }
                if !follower.is_joining() {
                    answers = None;
                }
            };
            self.context.stats.gap();
            info!(rendition = self.rendition.label(), relay = target.relay, missing, "a gap; joining again");
            sleep_until(joined + JOIN_INTERVAL).await;
        }
    }

    /// Waits a moment, because the server says that the other relay does not listen.
    async fn no_answer(&self) -> Result<(), SessionError> {
        tokio::time::sleep(JOIN_INTERVAL).await;
        Err(SessionError::NoAnswer)
    }

    /// Asks for the newest GOP. Returns the answers.
    async fn join(&self, target: &RemoteTarget) -> Result<Subscriber, SessionError> {
        self.context.stats.join();
        let client = &self.context.media.client;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await?;
        let subject = self.context.subjects.join(&target.relay, &target.stream, self.id);
        let interest = self.interest(target, false);
        client.publish_with_reply(subject, inbox, json(&interest)).await?;
        Ok(answers)
    }

    fn interest(&self, target: &RemoteTarget, ends: bool) -> Interest {
        let (relay, stream) = (self.context.own.clone(), target.stream.clone());
        Interest { relay, stream, rendition: self.id, ends }
    }

    async fn send_interest(&self, target: &RemoteTarget, ends: bool) -> Result<(), PublishError> {
        let subject = self.context.subjects.interest(&target.relay, &target.stream, self.id);
        self.context.media.client.publish(subject, json(&self.interest(target, ends))).await
    }

    /// Ends the interest. If the message is lost, the interest expires.
    async fn end_interest(&self) {
        let target = self.target.borrow().clone();
        if self.context.media.away().is_none() {
            let _ = self.send_interest(&target, true).await;
        }
    }

    fn receive(&self, message: &Message, reassembler: &mut Reassembler) -> Option<Packet> {
        self.context.stats.received(message.payload.len());
        reassembler.push(&message.payload).unwrap_or_else(|error| {
            warn!(rendition = self.rendition.label(), "{error}");
            None
        })
    }

    /// Returns the number of missing messages if it has to join again.
    fn apply(&self, actions: Vec<Action>, target: &RemoteTarget) -> Option<u64> {
        for action in actions {
            match action {
                Action::Rejoin(missing) => return Some(missing),
                Action::Status(status) => self.show(status),
                Action::Publish(packet) => self.publish(packet, target),
            }
        }
        None
    }

    /// Shows the status of the source.
    fn show(&self, status: StreamState) {
        match status {
            // Follows from the fragments.
            StreamState::Live => {}
            StreamState::Idle | StreamState::Starting => self.rendition.set_status(Status::Starting),
            StreamState::Offline { reason, message, retry_in_ms } => {
                let retry_at = Instant::now() + Duration::from_millis(retry_in_ms);
                self.rendition.fail(Status::Offline { reason, message: message.into(), retry_at });
            }
        }
    }

    fn publish(&self, packet: Packet, target: &RemoteTarget) {
        let published = if packet.kind == PacketKind::Init {
            self.start_epoch(&packet, target)
        } else {
            self.publish_fragment(packet, target)
        };
        if let Err(error) = published {
            let message = format!(
                "the media of relay {} cannot be read: {error}; run the same release on all relays",
                target.relay
            );
            self.show_offline(OfflineReason::Failed, &message);
        }
    }

    fn start_epoch(&self, packet: &Packet, target: &RemoteTarget) -> Result<(), String> {
        let (init, audio) = read_init(&packet.payload, self.id.kind()).map_err(|error| error.to_string())?;
        if audio.is_some() {
            self.audio_buffer.describe(audio);
        }
        info!(rendition = self.rendition.label(), relay = target.relay, codec = %init.codec, "new epoch");
        self.rendition.start_epoch(init);
        Ok(())
    }

    fn publish_fragment(&self, packet: Packet, target: &RemoteTarget) -> Result<(), String> {
        let head = FragmentHead::read(&packet.payload).map_err(|error| error.to_string())?;
        let ahead = self.context.clocks.offset(&target.relay);
        let capture = head.capture.map(|capture| to_this_clock(capture, ahead));
        let fragment =
            Fragment::parse(BytesMut::from(packet.payload), |_| capture).map_err(|error| error.to_string())?;
        self.rendition.publish(fragment, clock::unix_ms());
        Ok(())
    }
}

/// A time of a clock that is `ahead` milliseconds ahead, on this relay's clock.
fn to_this_clock(time: NtpTime, ahead: f64) -> NtpTime {
    if ahead == 0.0 { time } else { NtpTime::from_unix((time.unix_ms() - ahead) / 1e3) }
}

/// The next message. Pending without a subscription.
async fn next(answers: &mut Option<Subscriber>) -> Option<Message> {
    match answers {
        Some(answers) => answers.next().await,
        None => std::future::pending().await,
    }
}

/// Returns when the stream is not at `target` any more.
async fn moved(mut now: watch::Receiver<RemoteTarget>, target: &RemoteTarget) {
    // The sender lives as long as the task.
    let _ = now.wait_for(|now| now != target).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_time_is_on_this_relay_s_clock() {
        let captured = NtpTime::from_unix(1_700_000_000.25);
        assert_eq!(to_this_clock(captured, 0.0), captured);
        let here = to_this_clock(captured, 1500.0);
        assert!((here.unix_ms() - 1_699_999_998_750.0).abs() < 0.01, "{}", here.unix_ms());
    }
}
