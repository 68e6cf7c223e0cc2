//! A viewer behind a tunnel and a slow link. The tunnel reads the relay's data immediately, and the link forwards it at its own
//! rate. The relay sees only acknowledgements, as behind a real tunnel: its daemon buffers megabytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{Ack, ClientMessage, Pong, Ready, ServerMessage};

use crate::viewer::{Acks, Event, Viewer, is_init, unix_ms};

/// The client's acknowledgement interval.
const ACK_PERIOD: Duration = Duration::from_millis(250);
/// The shorter interval after a late message: the interval, its duration, and the gap between messages that triggers it.
const ACK_PERIOD_ALERT: Duration = Duration::from_millis(40);
const ALERT: Duration = Duration::from_millis(500);
const LULL: Duration = Duration::from_millis(150);
/// The resolution of times.
const TICK: Duration = Duration::from_millis(5);
/// Bytes that WebSocket, TLS, TCP and IP add to a message.
const HEADERS: usize = 80;

/// The viewer's state at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The time.
    pub at: Instant,
    /// The age of the newest frame, in milliseconds.
    pub age: f64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct SlowViewer {
    viewer: Viewer,
    kbps: f64,
    /// The time at which the link has sent all queued messages, and each message with its arrival time.
    free: Instant,
    waiting: VecDeque<(Instant, Event)>,
    received: u64,
    arrived: f64,
    acknowledged: (u64, Instant),
    heard: Instant,
    alerted: Option<Instant>,
    captured: Option<f64>,
    /// The age of the newest frame, about every [`TICK`].
    pub samples: Vec<Sample>,
    /// Each received `ready`, with its arrival time.
    pub readies: Vec<(Instant, Ready)>,
    /// The number of announced gaps.
    pub gaps: u64,
}

impl SlowViewer {
    /// Takes over `viewer` with a link of this rate in kilobits per second. The viewer must not have received media yet.
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

    /// Changes the link's rate.
    pub fn set_rate(&mut self, kbps: f64) {
        self.kbps = kbps;
        // Queued messages are sent at the new rate as well.
        let waiting: Vec<_> = self.waiting.drain(..).map(|(_, event)| event).collect();
        self.free = Instant::now();
        waiting.into_iter().for_each(|event| self.enqueue(event));
    }

    /// The variants announced so far, with their reasons.
    pub fn variants(&self) -> Vec<(sightline_protocol::stream::Variant, sightline_protocol::message::VariantReason)> {
        self.readies.iter().map(|(_, ready)| (ready.variant, ready.why)).collect()
    }

    /// The greatest age of the newest frame since `since`, in milliseconds.
    pub fn worst_age(&self, since: Instant) -> f64 {
        self.samples.iter().filter(|sample| sample.at >= since).map(|sample| sample.age).fold(0.0, f64::max)
    }

    /// Watches for `span`.
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
