//! Connects the parts of the simulation and records the results.

use std::time::Duration;

use super::link::{LinkDirection, LinkProfile};
use super::source::{SimulatedCamera, SimulatedSource};
use super::viewer::{Down, Up, Viewer};
use crate::egress::websocket::abr_controller::{AbrController, PingRequest};
use crate::egress::websocket::send_window::SendDecision;
use crate::egress::websocket::variant_selector::{Level, Rates};
use crate::hub::ring::{Cursor, Ring, Step};

/// The variant that will be sent once it has a key frame.
struct PlannedSwitch {
    level: Level,
    /// The newest key frame when it was chosen; the full variant must start with a newer one.
    after: Option<u64>,
}

/// See the [module](self).
pub(super) struct World {
    now: u64,
    source: SimulatedSource,
    viewer: Viewer,
    abr: AbrController,
    has_low: bool,
    sending: Level,
    cursor: Cursor,
    next: Option<PlannedSwitch>,
    held: bool,
    rates: Option<Rates>,
    down: LinkDirection<Down>,
    up: LinkDirection<Up>,
    /// The age of the newest frame at the viewer, for each millisecond.
    ages: Vec<u64>,
    /// The time at which the viewer joined.
    came: u64,
    /// Times of the changes of variant, and the new level.
    pub(super) switches: Vec<(u64, Level)>,
    /// Times of skips, and the number of skipped frames.
    pub(super) skips: Vec<(u64, u64)>,
    /// Bytes of padding.
    pub(super) padding: u64,
    /// Pings, without heartbeats.
    pub(super) pings: u64,
}

impl World {
    pub(super) fn new(camera: SimulatedCamera, profile: LinkProfile, seed: u64, has_low: bool) -> Self {
        Self {
            now: 0,
            source: SimulatedSource::new(camera),
            viewer: Viewer::default(),
            abr: AbrController::default(),
            has_low,
            sending: Level::Full,
            cursor: Cursor::default(),
            next: None,
            held: false,
            rates: None,
            up: LinkDirection::new(LinkProfile::new(1_000_000, profile.delay), seed + 1),
            down: LinkDirection::new(profile, seed),
            ages: Vec::new(),
            came: 0,
            switches: Vec::new(),
            skips: Vec::new(),
            padding: 0,
            pings: 0,
        }
    }

    /// Runs the camera for `before` milliseconds, then with a viewer for `seconds`.
    pub(super) fn run(mut self, before: u64, seconds: u64) -> Self {
        for now in 0..before {
            self.source.step(now);
        }
        self.came = before;
        self.abr.set_free(self.has_low, Duration::from_millis(before));
        for now in before..before + seconds * 1000 {
            self.now = now;
            self.source.step(now);
            for message in self.down.step(now) {
                if let Some(answer) = self.viewer.receive(message, now) {
                    self.up.send(60, answer);
                }
            }
            if let Some(answer) = self.viewer.tick(now) {
                self.up.send(60, answer);
            }
            for answer in self.up.step(now) {
                self.on_pong(answer);
                self.session();
            }
            self.session();
            self.ages.push(self.viewer.age(now).unwrap_or(now - before));
        }
        self
    }

    /// The greatest age of the viewer's newest frame between two milliseconds.
    pub(super) fn worst_age(&self, from: u64, until: u64) -> u64 {
        let index = |time: u64| ((time - self.came) as usize).min(self.ages.len());
        self.ages[index(from)..index(until)].iter().copied().max().unwrap_or(0)
    }

    /// The levels of all changes, in order.
    pub(super) fn levels(&self) -> Vec<Level> {
        self.switches.iter().map(|switch| switch.1).collect()
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn ring(&self) -> &Ring {
        match self.sending {
            Level::Full => &self.source.full,
            Level::Low => &self.source.low,
        }
    }

    fn on_pong(&mut self, answer: Up) {
        let now = self.time();
        let possible = match answer {
            Up::Ack { received, at } => self.abr.on_ack(received, Some(at), now).map(|_| ()),
            Up::Pong { sent, at, received } => self.abr.on_pong(sent, at, Some(received), now),
        };
        possible.expect("viewers acknowledge what they have received");
    }

    fn session(&mut self) {
        self.choose();
        self.switch();
        loop {
            let now = self.time();
            if self.abr.send_decision(now) != SendDecision::Send {
                self.held = true;
                break;
            }
            if self.abr.waits_for_low(self.sending, self.ring().lag(&self.cursor), now) {
                self.held = true;
                break;
            }
            if std::mem::take(&mut self.held) {
                self.skip();
            }
            match self.ring_read() {
                Step::Pending => break,
                Step::Init(init) => {
                    self.abr.begin(self.ring().rates().map(|(_, bits)| bits as f64 / 8.0), now);
                    self.send(init.bytes.len(), Down::Init);
                }
                Step::Fragment(fragment) => {
                    self.send(fragment.bytes.len(), Down::Frame(fragment.head.decode_time));
                    self.skip();
                }
                Step::Overrun(skipped) => self.skips.push((self.now, skipped)),
            }
            self.ping_due();
        }
        self.ping_due();
    }

    fn ring_read(&mut self) -> Step {
        let ring = match self.sending {
            Level::Full => &self.source.full,
            Level::Low => &self.source.low,
        };
        ring.read(&mut self.cursor)
    }

    fn send(&mut self, bytes: usize, message: Down) {
        self.abr.on_sent(bytes, self.ring().lag(&self.cursor), self.time());
        self.down.send(bytes, message);
    }

    fn skip(&mut self) {
        let mut cursor = self.cursor;
        if self.ring().lag(&cursor) > self.abr.tolerated_lag(self.sending, self.time()) {
            let skipped = self.ring().skip(&mut cursor);
            self.cursor = cursor;
            if skipped > 0 {
                self.skips.push((self.now, skipped));
            }
        }
    }

    fn ping_due(&mut self) {
        let rate = |ring: &Ring| Some(ring.rates()?.1 as f64 / 8.0);
        // Updated rarely, because it is most of the work.
        if self.abr.level() == Level::Low && self.now.is_multiple_of(500) {
            let rates = rate(&self.source.full).zip(rate(&self.source.low));
            self.rates = rates.map(|(full, low)| Rates { full, low });
        }
        let rates = self.rates;
        let now = self.time();
        match self.abr.ping_due(rates, now) {
            Some(PingRequest::One(padding)) => self.ping(padding, false),
            Some(PingRequest::Train(padding)) => {
                self.ping(0, false);
                self.ping(padding, true);
            }
            None => {}
        }
    }

    fn ping(&mut self, padding: usize, train: bool) {
        let sent = self.now as f64;
        self.abr.on_ping_sent(sent, padding, train, self.time());
        self.padding += padding as u64;
        self.pings += 1;
        self.down.send(40 + padding, Down::Ping(sent));
    }

    fn choose(&mut self) {
        if self.abr.low_wanted_for(self.time()).is_some() {
            self.source.subscribe_low(self.now);
        }
        let (level, chosen) = (self.abr.level(), self.next.as_ref().map_or(self.sending, |next| next.level));
        if level == chosen {
            return;
        }
        self.next = (level != self.sending).then(|| {
            let after = self.source.full.newest_keyframe().filter(|_| level == Level::Full);
            PlannedSwitch { level, after }
        });
    }

    fn switch(&mut self) {
        let Some(next) = &self.next else { return };
        let ring = if next.level == Level::Full { &self.source.full } else { &self.source.low };
        if ring.newest_keyframe() > next.after {
            (self.sending, self.cursor) = (next.level, Cursor::default());
            self.switches.push((self.now, self.sending));
            self.next = None;
        }
    }
}
