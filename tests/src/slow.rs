//! A viewer behind a tunnel and a slow link: the tunnel takes everything from the relay at once, and the link hands it on
//! at its own pace. What the relay sees are acknowledgements alone, as behind a real tunnel, whose daemon buffers
//! megabytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{Ack, ClientMessage, Pong, Ready, ServerMessage};

use crate::viewer::{Acks, Event, Viewer, is_init, unix_ms};

/// How often the client acknowledges.
const ACK_PERIOD: Duration = Duration::from_millis(250);
/// How often it does for how long after media was so long in coming.
const ACK_PERIOD_ALERT: Duration = Duration::from_millis(40);
const ALERT: Duration = Duration::from_millis(500);
const LULL: Duration = Duration::from_millis(150);
/// How exactly times are kept.
const TICK: Duration = Duration::from_millis(5);
/// What WebSocket, TLS, TCP and IP add to a message.
const HEADERS: usize = 80;

/// What the viewer has seen at a time.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// How old the newest picture was, in milliseconds.
    pub age: f64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct SlowViewer {
    viewer: Viewer,
    kbps: f64,
    /// When the link has served what it was given, and what arrives when.
    free: Instant,
    waiting: VecDeque<(Instant, Event)>,
    received: u64,
    arrived: f64,
    acknowledged: (u64, Instant),
    heard: Instant,
    alerted: Option<Instant>,
    captured: Option<f64>,
    /// The age of the newest picture, every [`TICK`] or so.
    pub samples: Vec<Sample>,
    /// Every `ready` that has arrived, and when.
    pub readies: Vec<(Instant, Ready)>,
    /// Gaps that were announced.
    pub gaps: u64,
}

impl SlowViewer {
    /// Goes on watching with `viewer`, that has not asked to play yet, over a link of so many kilobits a second.
    pub fn new(mut viewer: Viewer, kbps: f64) -> Self {
        viewer.set_acks(Acks::ByHand);
        let now = Instant::now();
        Self {
            viewer,
            kbps,
            free: now,
            waiting: VecDeque::new(),
            received: 0,
            arrived: 0.0,
            acknowledged: (0, now),
            heard: now,
            alerted: None,
            captured: None,
            samples: Vec::new(),
            readies: Vec::new(),
            gaps: 0,
        }
    }

    /// The link carries so much from now on.
    pub fn set_rate(&mut self, kbps: f64) {
        self.kbps = kbps;
        // What waits is served at the new rate, too.
        let waiting: Vec<_> = self.waiting.drain(..).map(|(_, event)| event).collect();
        self.free = Instant::now();
        waiting.into_iter().for_each(|event| self.enqueue(event));
    }

    /// The variants that were announced so far, and why.
    pub fn variants(&self) -> Vec<(sightline_protocol::stream::Variant, sightline_protocol::message::VariantReason)> {
        self.readies.iter().map(|(_, ready)| (ready.variant, ready.why)).collect()
    }

    /// The age of the oldest picture that was the newest since `since`, in milliseconds.
    pub fn worst_age(&self, since: Instant) -> f64 {
        self.samples.iter().filter(|sample| sample.at >= since).map(|sample| sample.age).fold(0.0, f64::max)
    }

    /// Watches for so long.
    ///
    /// # Panics
    /// When the relay ends the session.
    pub async fn watch(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            if let Some(event) = self.viewer.next_within(TICK).await {
                assert!(!matches!(event, Event::Closed(..)), "{event:?}");
                self.enqueue(event);
            }
            while self.waiting.front().is_some_and(|(at, _)| *at <= Instant::now()) {
                let (_, event) = self.waiting.pop_front().expect("it is there");
                self.arrive(event).await;
            }
            self.acknowledge().await;
            if let Some(captured) = self.captured {
                self.samples.push(Sample { at: Instant::now(), age: unix_ms() - captured });
            }
        }
    }

    fn enqueue(&mut self, event: Event) {
        let bytes = HEADERS
            + match &event {
                Event::Media(bytes) => bytes.len(),
                Event::Message(message) => message.to_json().len(),
                _ => 0,
            };
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / (self.kbps * 1e3));
        self.free = self.free.max(Instant::now()) + takes;
        self.waiting.push_back((self.free, event));
    }

    async fn arrive(&mut self, event: Event) {
        match event {
            Event::Message(ServerMessage::Ping(ping)) => {
                let pong = Pong { sent: ping.sent, at: unix_ms(), received: Some(self.received) };
                self.viewer.send(&ClientMessage::Pong(pong)).await;
            }
            Event::Message(ServerMessage::Ready(ready)) => self.readies.push((Instant::now(), ready)),
            Event::Message(ServerMessage::Gap { .. }) => self.gaps += 1,
            Event::Media(bytes) => self.media(&bytes),
            _ => {}
        }
    }

    fn media(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.received += 1;
        self.arrived = unix_ms();
        if now - self.heard > LULL {
            self.alerted = Some(now);
        }
        self.heard = now;
        if !is_init(bytes) {
            let captured = FragmentHead::read(bytes).expect("a fragment").capture.expect("a capture time").unix_ms();
            self.captured = Some(self.captured.map_or(captured, |newest| newest.max(captured)));
        }
    }

    async fn acknowledge(&mut self) {
        let (count, at) = self.acknowledged;
        let alert = self.alerted.is_some_and(|at| at.elapsed() < ALERT);
        let period = if alert { ACK_PERIOD_ALERT } else { ACK_PERIOD };
        if self.received > count && (count == 0 || at.elapsed() >= period) {
            self.acknowledged = (self.received, Instant::now());
            let ack = Ack { received: self.received, at: Some(self.arrived), lag_ms: None };
            self.viewer.send(&ClientMessage::Ack(ack)).await;
        }
    }
}
