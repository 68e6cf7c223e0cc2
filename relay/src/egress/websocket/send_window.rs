//! End-to-end flow control: the send window, which limits the bytes in flight to a viewer.
//!
//! Behind a tunnel, the relay's TCP peer is the tunnel's daemon with megabytes of buffer. The socket says nothing about the
//! viewer's link; only the viewer's acknowledgements do. Bytes in flight cannot be taken back. Beyond the link's
//! bandwidth-delay product they form a queue and delay everything behind it, including the key frame that would end a lag.
//! Fragments that wait in the ring can be skipped. The window therefore holds what the link delivers in its own round trip and
//! a little more, as in delay-based congestion control (BBR, LEDBAT).
//!
//! Input: bytes, times and acknowledgements. Output: permission to send. Pure: times are passed in, as the time since the
//! session began.

mod link;

use std::collections::VecDeque;
use std::time::Duration;

use link::Link;

/// Interval of a viewer's unsolicited acknowledgements.
const ACK_PERIOD: Duration = Duration::from_millis(250);
/// The round trip until it has been measured.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(250);
/// The initial window: what a slow link (2 Mbit/s) delivers in a quarter of a second. A fast link doubles it in each round
/// trip.
const WINDOW_START: u64 = 64 * 1024;
/// A few small frames: with less, even a link of 200 kbit/s would idle between acknowledgements.
const WINDOW_MIN: u64 = 4 * 1024;
/// Two thirds of a second at 100 Mbit/s, more than any camera needs.
const WINDOW_MAX: u64 = 8 << 20;
/// A shorter delay is not a queue: a key frame's transmission time, a busy page or a radio's scheduling causes it.
const QUEUE_LOW: Duration = Duration::from_millis(60);
/// The queue that a narrowed window aims at: the link never idles, and a frame waits for three frame intervals.
const QUEUE_TARGET: Duration = Duration::from_millis(120);
/// Longer queues narrow the window. More than the jitter of mobile links, much less than a viewer would notice.
const QUEUE_HIGH: Duration = Duration::from_millis(250);
/// A queue that outlasts this in spite of a narrow window means that the path has become longer. The relay lets the link drain
/// once and measures it again.
const QUEUE_LASTS: Duration = Duration::from_secs(2);
/// Allowance for scheduling, here and in the browser.
const SLACK: Duration = Duration::from_millis(50);
/// Tolerated lateness of a pong: the transmission time of a key frame on a link with spare capacity, or a page's layout.
const OVERDUE: Duration = Duration::from_millis(100);
/// Minimum interval of pings that ask for the number of received messages.
const PING_PERIOD: Duration = Duration::from_millis(50);
/// A viewer without an acknowledgement for this long is gone, whatever its socket says.
const SILENCE: Duration = Duration::from_secs(10);

/// An acknowledgement of messages that have not been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged {acknowledged} messages where {sent} were sent")]
pub(super) struct ImpossibleAck {
    acknowledged: u64,
    sent: u64,
}

/// Whether the session may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendDecision {
    /// Send.
    Send,
    /// Send nothing until the viewer has acknowledged more.
    Hold,
    /// The viewer is gone.
    Close,
}

/// A message in flight.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    sent: Duration,
    bytes: u64,
    /// The time that it had waited for permission when it was sent.
    waited: Duration,
}

/// See the [module](self). A field for each estimate: one acknowledgement updates them together.
#[derive(Debug)]
pub(super) struct SendWindow {
    sent: u64,
    /// Unacknowledged messages, oldest first. The window bounds their number.
    in_flight: VecDeque<InFlight>,
    bytes: u64,
    /// The time of the last acknowledgement that covered a new message.
    progress: Duration,
    /// The waiting time of the newest acknowledged message.
    waited: Duration,
    link: Link,
    window: u64,
    /// Whether the window doubles in each round trip; true until it is first narrowed.
    doubling: bool,
    /// Whether at least half of the window was in use since the last adjustment. Only then does it grow, so that a healthy
    /// viewer has spare room and need not be pinged.
    limited: bool,
    /// Narrowing is suspended until the last one can have taken effect.
    narrow_again: Duration,
    /// The time since which there has been a queue.
    queued_since: Option<Duration>,
    /// Whether sending stops until everything in flight has arrived.
    draining: bool,
    asked: Duration,
    /// Bytes sent since the last ping, and the size of the largest message among them.
    unasked: u64,
    largest: u64,
}

impl Default for SendWindow {
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

impl SendWindow {
    /// Records that a message of `bytes` is sent at `now`, after it has `waited` for permission.
    pub(super) fn on_sent(&mut self, bytes: usize, waited: Duration, now: Duration) {
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

    /// Records that the viewer has received `received` messages in total, the newest at `at` milliseconds of its clock. A
    /// smaller number than before adds nothing. Returns how long ago the newest message could have been sent.
    pub(super) fn on_ack(
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

    /// Records the pong to the ping of `asked`, which had `padding` bytes. It arrived at `at` of the viewer's clock, after
    /// `received` messages.
    pub(super) fn on_pong(
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
        self.link.on_pong(asked, at, now);
        self.adjust(bytes, now);
        Ok(())
    }

    /// Whether to ping the viewer: much is in flight, or for too long.
    pub(super) fn ping_due(&mut self, now: Duration) -> bool {
        let since = now.saturating_sub(self.asked);
        let full = self.bytes >= self.window;
        let much = self.bytes >= self.window / 2 && self.unasked >= self.window / 4 && since >= PING_PERIOD;
        let late = self.oldest_age(now) > self.round_trip() + ACK_PERIOD + SLACK && since >= 2 * PING_PERIOD;
        let large = self.largest >= self.window / 8 && since >= PING_PERIOD;
        let queued = self.link.queue() > QUEUE_LOW && since >= PING_PERIOD;
        let ask = self.unasked > 0 && (full || much || large || late || queued);
        if ask {
            self.on_ping_sent(now);
        }
        ask
    }

    /// Whether the pong to the ping of `asked` is late. A large message before it, such as a key frame, takes longer than
    /// usual, and more behind it would only wait.
    pub(super) fn is_overdue(&self, asked: Duration, now: Duration) -> bool {
        let age = now.saturating_sub(asked);
        !self.in_flight.is_empty() && self.link.usual().is_some_and(|usual| age > usual + OVERDUE)
    }

    /// The bytes in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.bytes
    }

    /// The number of messages sent.
    pub(super) fn count(&self) -> u64 {
        self.sent
    }

    /// Records that a ping is sent, for any reason.
    pub(super) fn on_ping_sent(&mut self, now: Duration) {
        self.asked = now;
        (self.unasked, self.largest) = (0, 0);
    }

    /// Whether the session may send at `now`.
    pub(super) fn send_decision(&self, now: Duration) -> SendDecision {
        let Some(oldest) = self.in_flight.front() else {
            return SendDecision::Send;
        };
        let late = self.round_trip() + ACK_PERIOD + QUEUE_HIGH + SLACK;
        // A slow link may take long for a large key frame and still make progress.
        if now.saturating_sub(oldest.sent.max(self.progress)) > SILENCE {
            SendDecision::Close
        } else if self.draining || self.bytes >= self.window || self.oldest_age(now) > late {
            SendDecision::Hold
        } else {
            SendDecision::Send
        }
    }

    /// Ignores the waiting time so far, which an interruption caused.
    pub(super) fn interrupted(&mut self) {
        self.waited = Duration::ZERO;
        self.in_flight.iter_mut().for_each(|message| message.waited = Duration::ZERO);
    }

    /// The newest estimate of the queueing delay.
    pub(super) fn queue(&self) -> Duration {
        self.link.queue()
    }

    /// The delay of the newest acknowledged message beyond the minimum: its waiting time in the relay plus the queue.
    pub(super) fn delay(&self) -> Duration {
        self.waited + self.link.queue()
    }

    /// Announces media of `rate` bytes per second. A link that has shown no queue yet gets a window of at least a short queue's
    /// worth.
    pub(super) fn expect(&mut self, rate: f64) {
        if self.doubling {
            self.window = self.window.max((rate * QUEUE_TARGET.as_secs_f64()) as u64).min(WINDOW_MAX);
        }
    }

    /// Announces that the link carries `rate` bytes per second without a queue.
    pub(super) fn grow_to_rate(&mut self, rate: f64) {
        self.window = self.window.max(self.window_for_rate(rate)).min(WINDOW_MAX);
    }

    /// Removes acknowledged messages. Returns the newest of them and their bytes.
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

    /// Adjusts the window after a new estimate of the queue and `bytes` more received.
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
            let worth = self.link.rate().map_or(self.window / 2, |rate| self.window_for_rate(rate));
            self.window = worth.min(self.window).max(WINDOW_MIN);
            self.narrow_again = now + self.round_trip() + queue;
        }
    }

    /// The window for a link that delivers `rate` bytes per second.
    fn window_for_rate(&self, rate: f64) -> u64 {
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
