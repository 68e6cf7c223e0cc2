//! Flow control from end to end: how much may be on its way to a viewer.
//!
//! Behind a tunnel the relay's TCP peer is the tunnel's daemon with megabytes of buffer, so the socket says nothing about
//! the viewer's link; what counts is what the viewer acknowledges. What is on its way cannot be taken back: beyond what
//! the link holds by its own length it is a queue, and so delay for everything after it, the key frame included that
//! would have cut a viewer's lag. What waits in the ring can be left out. So the window of bytes on their way is kept to
//! what the link delivers in its own round trip and a little more, as in congestion control by delay (BBR, LEDBAT).
//!
//! Bytes, times and acknowledgements enter, permits leave. Pure: the time is passed in, as the time since the session
//! began.

mod link;

use std::collections::VecDeque;
use std::time::Duration;

use link::Link;

/// How often viewers acknowledge by themselves.
const ACK_PERIOD: Duration = Duration::from_millis(250);
/// The round trip assumed before it has been measured.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(250);
/// The window before anything is known: what a slow link (2 Mbit/s) delivers in a quarter of a second. A fast one
/// doubles it with each round trip.
const WINDOW_START: u64 = 64 * 1024;
/// A few small frames: with less even a link of 200 kbit/s would idle between acknowledgements.
const WINDOW_MIN: u64 = 4 * 1024;
/// Two thirds of a second at 100 Mbit/s: nothing that a camera sends needs more.
const WINDOW_MAX: u64 = 8 << 20;
/// Below this a queue is none: the time that a key frame takes, a busy page, a radio's own rhythm.
const QUEUE_LOW: Duration = Duration::from_millis(60);
/// What a narrowed window aims at, so that the link is never idle and a frame waits three frames' time.
const QUEUE_TARGET: Duration = Duration::from_millis(120);
/// Above this the window is narrowed. More than mobile links jitter by, much less than a viewer would notice as old.
const QUEUE_HIGH: Duration = Duration::from_millis(250);
/// A queue that stays for so long in spite of a narrow window is a path that has become longer: the link is let run
/// empty once and measured anew.
const QUEUE_LASTS: Duration = Duration::from_secs(2);
/// Scheduling, here and in the browser, beside what is accounted for.
const SLACK: Duration = Duration::from_millis(50);
/// What an answer may be late: a key frame's time on a link with something to spare, a page that is being laid out.
const OVERDUE: Duration = Duration::from_millis(100);
/// Between two questions whether what was sent has arrived.
const ASK_PERIOD: Duration = Duration::from_millis(50);
/// A viewer that has acknowledged nothing for so long is gone, whatever its socket says.
const SILENCE: Duration = Duration::from_secs(10);

/// An acknowledgement of messages that have not been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged {acknowledged} messages where {sent} were sent")]
pub(super) struct ImpossibleAck {
    acknowledged: u64,
    sent: u64,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Send on.
    Send,
    /// Send nothing until more has been acknowledged.
    Hold,
    /// The viewer is gone.
    Close,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    sent: Duration,
    bytes: u64,
    /// What had waited for a permit when it was sent.
    waited: Duration,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Flow {
    sent: u64,
    /// What is not acknowledged, oldest first. Its length is bounded by the window's worth of messages.
    in_flight: VecDeque<InFlight>,
    bytes: u64,
    /// When an acknowledgement last told of a message that had not been acknowledged.
    progress: Duration,
    /// What the newest message had waited that is acknowledged.
    waited: Duration,
    link: Link,
    window: u64,
    /// Whether the window doubles with a round trip; until the first queue.
    doubling: bool,
    /// Whether half of the window was used since it was last widened: a healthy viewer is to have room, so that it need
    /// not be asked.
    limited: bool,
    /// The window stays as it is until what it was narrowed for can have had an effect.
    narrow_again: Duration,
    /// Since when there has been a queue.
    queued_since: Option<Duration>,
    /// Nothing more is sent until all has arrived.
    draining: bool,
    asked: Duration,
    /// Bytes sent since then, and those of the largest message.
    unasked: u64,
    largest: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            sent: 0,
            in_flight: VecDeque::new(),
            bytes: 0,
            progress: Duration::ZERO,
            waited: Duration::ZERO,
            link: Link::default(),
            window: WINDOW_START,
            doubling: true,
            limited: false,
            narrow_again: Duration::ZERO,
            queued_since: None,
            draining: false,
            asked: Duration::ZERO,
            unasked: 0,
            largest: 0,
        }
    }
}

impl Flow {
    /// A message of `bytes` leaves at `now` that has `waited` for a permit.
    pub(super) fn sent(&mut self, bytes: usize, waited: Duration, now: Duration) {
        let bytes = bytes as u64;
        if self.in_flight.is_empty() {
            self.link.begins(now);
        }
        self.sent += 1;
        self.bytes += bytes;
        self.unasked += bytes;
        self.largest = self.largest.max(bytes);
        self.in_flight.push_back(InFlight { sent: now, bytes, waited });
        self.limited |= self.bytes >= self.window / 2;
    }

    /// The viewer has received `received` messages in all, the newest of them at `at` by its clock, in milliseconds. A
    /// smaller number than before says nothing new. Returns how long ago that one could have been sent.
    pub(super) fn acknowledged(
        &mut self,
        received: u64,
        at: Option<f64>,
        now: Duration,
    ) -> Result<Option<Duration>, ImpossibleAck> {
        let (newest, bytes) = self.take_acknowledged(received, now)?;
        if let Some(newest) = newest {
            self.link.sample(newest.sent, at, now);
            self.adjust(bytes, now);
        }
        Ok(newest.map(|newest| newest.waited + now.saturating_sub(newest.sent)))
    }

    /// What was asked at `asked`, with so much `padding`, was answered, by the viewer's clock at `at`, with the number of
    /// messages it has received.
    pub(super) fn answered(
        &mut self,
        asked: Duration,
        at: f64,
        received: Option<u64>,
        padding: u64,
        now: Duration,
    ) -> Result<(), ImpossibleAck> {
        self.link.delivered(padding, now);
        let bytes = match received {
            Some(received) => self.take_acknowledged(received, now)?.1,
            None => 0,
        };
        self.link.answered(asked, at, now);
        self.adjust(bytes, now);
        Ok(())
    }

    /// Whether the viewer should be asked what has arrived, because much is on its way, or for longer than it should.
    pub(super) fn ask(&mut self, now: Duration) -> bool {
        let since = now.saturating_sub(self.asked);
        let full = self.bytes >= self.window;
        let much = self.bytes >= self.window / 2 && self.unasked >= self.window / 4 && since >= ASK_PERIOD;
        let late = self.oldest_age(now) > self.round_trip() + ACK_PERIOD + SLACK && since >= 2 * ASK_PERIOD;
        let large = self.largest >= self.window / 8 && since >= ASK_PERIOD;
        let queued = self.link.queue() > QUEUE_LOW && since >= ASK_PERIOD;
        let ask = self.unasked > 0 && (full || much || large || late || queued);
        if ask {
            self.asked(now);
        }
        ask
    }

    /// Whether a question of `asked` should have been answered: a large message was sent before it, such as a key frame,
    /// and takes longer than it should. More behind it would only wait.
    pub(super) fn is_overdue(&self, asked: Duration, now: Duration) -> bool {
        let age = now.saturating_sub(asked);
        !self.in_flight.is_empty() && self.link.usual().is_some_and(|usual| age > usual + OVERDUE)
    }

    /// The bytes on their way.
    pub(super) fn in_flight(&self) -> u64 {
        self.bytes
    }

    /// How many messages have been sent.
    pub(super) fn count(&self) -> u64 {
        self.sent
    }

    /// The viewer is asked, for whatever reason.
    pub(super) fn asked(&mut self, now: Duration) {
        self.asked = now;
        (self.unasked, self.largest) = (0, 0);
    }

    /// What may be done at `now`.
    pub(super) fn permit(&self, now: Duration) -> Permit {
        let Some(oldest) = self.in_flight.front() else {
            return Permit::Send;
        };
        let late = self.round_trip() + ACK_PERIOD + QUEUE_HIGH + SLACK;
        // A slow link may take long over a large key frame, and yet get on with it.
        if now.saturating_sub(oldest.sent.max(self.progress)) > SILENCE {
            Permit::Close
        } else if self.draining || self.bytes >= self.window || self.oldest_age(now) > late {
            Permit::Hold
        } else {
            Permit::Send
        }
    }

    /// What has waited does not count for what follows.
    pub(super) fn interrupted(&mut self) {
        self.waited = Duration::ZERO;
        self.in_flight.iter_mut().for_each(|message| message.waited = Duration::ZERO);
    }

    /// The newest measure of what waits in the link.
    pub(super) fn queue(&self) -> Duration {
        self.link.queue()
    }

    /// How much later than it could have the newest message arrived that is acknowledged: it waited here, and there.
    pub(super) fn delay(&self) -> Duration {
        self.waited + self.link.queue()
    }

    /// What comes now takes so many bytes a second. A link that has not shown that it does not carry them starts with what
    /// it can then do in the time of a short queue.
    pub(super) fn expect(&mut self, rate: f64) {
        if self.doubling {
            self.window = self.window.max((rate * QUEUE_TARGET.as_secs_f64()) as u64).min(WINDOW_MAX);
        }
    }

    /// The link has been seen to carry so many bytes a second without a queue.
    pub(super) fn carries(&mut self, rate: f64) {
        self.window = self.window.max(self.worth(rate)).min(WINDOW_MAX);
    }

    /// Takes note of what has arrived; returns the newest message that had not been acknowledged before, and the bytes
    /// of all such.
    fn take_acknowledged(&mut self, received: u64, now: Duration) -> Result<(Option<InFlight>, u64), ImpossibleAck> {
        let outstanding =
            self.sent.checked_sub(received).ok_or(ImpossibleAck { acknowledged: received, sent: self.sent })?;
        let (mut newest, mut bytes) = (None, 0);
        while self.in_flight.len() as u64 > outstanding {
            newest = self.in_flight.pop_front();
            bytes += newest.map_or(0, |message| message.bytes);
        }
        self.waited = newest.map_or(self.waited, |message| message.waited);
        if newest.is_some() {
            self.progress = now;
            self.bytes -= bytes;
            self.link.delivered(bytes, now);
        }
        Ok((newest, bytes))
    }

    /// The window after a new measure of the queue, and after `bytes` more have arrived.
    fn adjust(&mut self, bytes: u64, now: Duration) {
        let queue = self.link.queue();
        if queue > QUEUE_HIGH {
            self.narrow(queue, now);
        } else if queue <= QUEUE_LOW {
            self.queued_since = None;
        }
        if queue <= QUEUE_LOW && self.limited {
            let more = if self.doubling { bytes } else { bytes / 2 };
            self.window = (self.window + more).min(WINDOW_MAX);
        }
        self.limited = self.bytes >= self.window / 2;
        if self.draining && self.in_flight.is_empty() {
            self.draining = false;
            self.queued_since = None;
            self.link.forget_delays();
        }
    }

    fn narrow(&mut self, queue: Duration, now: Duration) {
        let since = *self.queued_since.get_or_insert(now);
        self.draining |= now.saturating_sub(since) > QUEUE_LASTS;
        if now >= self.narrow_again {
            self.doubling = false;
            let worth = self.link.rate().map_or(self.window / 2, |rate| self.worth(rate));
            self.window = worth.min(self.window).max(WINDOW_MIN);
            self.narrow_again = now + self.round_trip() + queue;
        }
    }

    /// The window for a link that delivers so many bytes a second.
    fn worth(&self, rate: f64) -> u64 {
        (rate * (self.round_trip() + QUEUE_TARGET).as_secs_f64()) as u64
    }

    fn round_trip(&self) -> Duration {
        self.link.round_trip().unwrap_or(ROUND_TRIP_UNKNOWN)
    }

    fn oldest_age(&self, now: Duration) -> Duration {
        self.in_flight.front().map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.sent))
    }
}

#[cfg(test)]
mod tests;
