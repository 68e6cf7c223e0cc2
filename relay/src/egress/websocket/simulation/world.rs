//! The whole, and what is noted of it.

use std::time::Duration;

use super::link::{Shape, Way};
use super::source::{Camera, Source};
use super::viewer::{Down, Up, Viewer};
use crate::egress::websocket::flow::Permit;
use crate::egress::websocket::ladder::{Rates, Rung};
use crate::egress::websocket::steering::{Ask, Steering};
use crate::hub::ring::{Cursor, Ring, Step};

/// What is to be sent next, once it can be.
struct Next {
    rung: Rung,
    /// The newest key frame when it was chosen; a full picture begins with a newer one.
    after: Option<u64>,
}

/// See the module.
pub(super) struct World {
    now: u64,
    source: Source,
    viewer: Viewer,
    steering: Steering,
    has_light: bool,
    sending: Rung,
    cursor: Cursor,
    next: Option<Next>,
    held: bool,
    rates: Option<Rates>,
    down: Way<Down>,
    up: Way<Up>,
    /// The age of the newest picture at the viewer, for each millisecond.
    ages: Vec<u64>,
    /// When the viewer came.
    came: u64,
    /// When the sending changed to what.
    pub(super) switches: Vec<(u64, Rung)>,
    /// When how many frames were left out.
    pub(super) skips: Vec<(u64, u64)>,
    /// Bytes of padding.
    pub(super) padding: u64,
    /// Pings, heartbeats aside.
    pub(super) pings: u64,
}

impl World {
    pub(super) fn new(camera: Camera, shape: Shape, seed: u64, has_light: bool) -> Self {
        Self {
            now: 0,
            source: Source::new(camera),
            viewer: Viewer::default(),
            steering: Steering::default(),
            has_light,
            sending: Rung::Full,
            cursor: Cursor::default(),
            next: None,
            held: false,
            rates: None,
            up: Way::new(Shape::new(1_000_000, shape.delay), seed + 1),
            down: Way::new(shape, seed),
            ages: Vec::new(),
            came: 0,
            switches: Vec::new(),
            skips: Vec::new(),
            padding: 0,
            pings: 0,
        }
    }

    /// A viewer comes when the camera has run for `before` milliseconds, and stays for so many seconds.
    pub(super) fn run(mut self, before: u64, seconds: u64) -> Self {
        for now in 0..before {
            self.source.step(now);
        }
        self.came = before;
        self.steering.set_free(self.has_light, Duration::from_millis(before));
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
                self.answered(answer);
                self.session();
            }
            self.session();
            self.ages.push(self.viewer.age(now).unwrap_or(now - before));
        }
        self
    }

    /// The age of the oldest picture that the viewer saw as its newest from one millisecond to another.
    pub(super) fn worst_age(&self, from: u64, until: u64) -> u64 {
        let index = |time: u64| ((time - self.came) as usize).min(self.ages.len());
        self.ages[index(from)..index(until)].iter().copied().max().unwrap_or(0)
    }

    /// The rungs that were gone to, and when.
    pub(super) fn rungs(&self) -> Vec<Rung> {
        self.switches.iter().map(|switch| switch.1).collect()
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn ring(&self) -> &Ring {
        match self.sending {
            Rung::Full => &self.source.full,
            Rung::Light => &self.source.light,
        }
    }

    fn answered(&mut self, answer: Up) {
        let now = self.time();
        let possible = match answer {
            Up::Ack { received, at } => self.steering.acknowledged(received, Some(at), now).map(|_| ()),
            Up::Pong { sent, at, received } => self.steering.answered(sent, at, Some(received), now),
        };
        possible.expect("viewers acknowledge what they have received");
    }

    fn session(&mut self) {
        self.choose();
        self.change_over();
        loop {
            let now = self.time();
            if self.steering.permit(now) != Permit::Send {
                self.held = true;
                break;
            }
            if self.steering.waits_for_light(self.sending, self.ring().lag(&self.cursor), now) {
                self.held = true;
                break;
            }
            if std::mem::take(&mut self.held) {
                self.skip();
            }
            match self.ring_read() {
                Step::Pending => break,
                Step::Init(init) => {
                    self.steering.begin(self.ring().rates().map(|(_, bits)| bits as f64 / 8.0), now);
                    self.send(init.bytes.len(), Down::Init);
                }
                Step::Fragment(fragment) => {
                    self.send(fragment.bytes.len(), Down::Frame(fragment.head.decode_time));
                    self.skip();
                }
                Step::Overrun(skipped) => self.skips.push((self.now, skipped)),
            }
            self.ask();
        }
        self.ask();
    }

    fn ring_read(&mut self) -> Step {
        let ring = match self.sending {
            Rung::Full => &self.source.full,
            Rung::Light => &self.source.light,
        };
        ring.read(&mut self.cursor)
    }

    fn send(&mut self, bytes: usize, message: Down) {
        self.steering.sent(bytes, self.ring().lag(&self.cursor), self.time());
        self.down.send(bytes, message);
    }

    fn skip(&mut self) {
        let mut cursor = self.cursor;
        if self.ring().lag(&cursor) > self.steering.tolerated_lag(self.sending, self.time()) {
            let skipped = self.ring().skip(&mut cursor);
            self.cursor = cursor;
            if skipped > 0 {
                self.skips.push((self.now, skipped));
            }
        }
    }

    fn ask(&mut self) {
        let rate = |ring: &Ring| Some(ring.rates()?.1 as f64 / 8.0);
        // Only as often as it may matter: it is most of the work.
        if self.steering.rung() == Rung::Light && self.now.is_multiple_of(500) {
            let rates = rate(&self.source.full).zip(rate(&self.source.light));
            self.rates = rates.map(|(full, light)| Rates { full, light });
        }
        let rates = self.rates;
        let now = self.time();
        match self.steering.ask(rates, now) {
            Some(Ask::One(padding)) => self.ping(padding, false),
            Some(Ask::Train(padding)) => {
                self.ping(0, false);
                self.ping(padding, true);
            }
            None => {}
        }
    }

    fn ping(&mut self, padding: usize, train: bool) {
        let sent = self.now as f64;
        self.steering.asked(sent, padding, train, self.time());
        self.padding += padding as u64;
        self.pings += 1;
        self.down.send(40 + padding, Down::Ping(sent));
    }

    fn choose(&mut self) {
        if self.steering.light_wanted_for(self.time()).is_some() {
            self.source.hold_light(self.now);
        }
        let (rung, chosen) = (self.steering.rung(), self.next.as_ref().map_or(self.sending, |next| next.rung));
        if rung == chosen {
            return;
        }
        self.next = (rung != self.sending).then(|| {
            let after = self.source.full.newest_keyframe().filter(|_| rung == Rung::Full);
            Next { rung, after }
        });
    }

    fn change_over(&mut self) {
        let Some(next) = &self.next else { return };
        let ring = if next.rung == Rung::Full { &self.source.full } else { &self.source.light };
        if ring.newest_keyframe() > next.after {
            (self.sending, self.cursor) = (next.rung, Cursor::default());
            self.switches.push((self.now, self.sending));
            self.next = None;
        }
    }
}
