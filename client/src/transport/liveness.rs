//! Decides when a connection owes an acknowledgement or a ping, and when it is dead.
//!
//! It is evaluated on every message and on a timer: browsers slow a background tab's timers to one a minute, while messages
//! keep arriving.

use crate::time::Moment;

/// Four acknowledgements per second: enough for the relay's flow control, few enough to cost nothing.
const ACK_EVERY_MS: f64 = 250.0;
/// Media that arrives after a longer silence, several frames of most cameras, is late. The relay should learn soon whether the
/// link stalled or is slow.
const LULL_MS: f64 = 150.0;
/// Interval and duration of the more frequent acknowledgements that follow: one per frame, until the cause is clear.
const ACK_ALERT_EVERY_MS: f64 = 40.0;
const ALERT_MS: f64 = 500.0;
/// Interval of the viewer's own pings; the relay's pings keep the connection open as well.
const PING_EVERY_MS: f64 = 5_000.0;
/// The first pings follow each other closely: the shortest of several round trips gives a good estimate of the relay's clock.
const FIRST_PINGS: u32 = 5;
const FIRST_PING_EVERY_MS: f64 = 200.0;
/// After this long without a byte, a ping tests the connection.
const QUIET_MS: f64 = 2_500.0;
/// The relay pings at least every 5 s and answers pings at once. After this long without a byte the connection is dead,
/// whatever state the socket reports.
const SILENCE_MAX_MS: f64 = 7_000.0;
/// The same after a probe: the machine has slept, or the network has changed.
const DOUBTED_MAX_MS: f64 = 3_000.0;
/// Connection timeout: tunnels take up to 8 s to set up a WebSocket.
const CONNECT_MAX_MS: f64 = 15_000.0;

/// The actions that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// Send an acknowledgement.
    pub ack: bool,
    /// Send a ping.
    pub ping: bool,
    /// Close the socket and open another: nothing arrived for too long.
    pub dead: bool,
}

/// The event times of one socket.
#[derive(Debug, Clone)]
pub struct Liveness {
    created: Moment,
    opened: Option<Moment>,
    heard: Moment,
    acknowledged: Option<(Moment, u64)>,
    /// When media last arrived, and the number of media messages then.
    media: Option<(Moment, u64)>,
    /// When media last arrived after a silence.
    alerted: Option<Moment>,
    pinged: Option<Moment>,
    pings: u32,
    /// When a probe began, if nothing has arrived since.
    doubted: Option<Moment>,
}

impl Liveness {
    /// Handles the start of a connection.
    pub fn new(now: Moment) -> Self {
        Self {
            created: now,
            opened: None,
            heard: now,
            acknowledged: None,
            media: None,
            alerted: None,
            pinged: None,
            pings: 0,
            doubted: None,
        }
    }

    /// Handles the socket's opening.
    pub fn opened(&mut self, now: Moment) {
        self.opened = Some(now);
        self.heard = now;
    }

    /// Handles an arrival.
    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
        self.doubted = None;
    }

    /// Probes a connection that may be dead: it has little time to answer.
    pub fn probe(&mut self, now: Moment) {
        if self.opened.is_some() && self.doubted.is_none() {
            (self.doubted, self.pinged) = (Some(now), None);
        }
    }

    /// How long the socket has been open, in milliseconds.
    pub fn lived_ms(&self, now: Moment) -> f64 {
        self.opened.map_or(0.0, |opened| now.ms_since(opened))
    }

    /// The number of binary messages acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.map_or(0, |(_, count)| count)
    }

    /// Returns the actions that are due and counts them as done; `received` is the number of binary messages so far.
    pub fn due(&mut self, now: Moment, received: u64) -> Due {
        if self.opened.is_none() {
            return Due { dead: now.ms_since(self.created) > CONNECT_MAX_MS, ..Due::default() };
        }
        self.note_media(now, received);
        let alert = self.alerted.is_some_and(|at| now.ms_since(at) < ALERT_MS);
        let ack_every_ms = if alert { ACK_ALERT_EVERY_MS } else { ACK_EVERY_MS };
        let ack = match self.acknowledged {
            None => received > 0,
            Some((at, count)) => received > count && now.ms_since(at) >= ack_every_ms,
        };
        let every_ms = if self.pings < FIRST_PINGS { FIRST_PING_EVERY_MS } else { PING_EVERY_MS };
        let quiet = now.ms_since(self.heard) >= QUIET_MS;
        let every_ms = if quiet { every_ms.min(QUIET_MS) } else { every_ms };
        let ping = self.pinged.is_none_or(|at| now.ms_since(at) >= every_ms);
        if ack {
            self.acknowledged = Some((now, received));
        }
        if ping {
            self.pinged = Some(now);
            self.pings += 1;
        }
        let doubted = self.doubted.is_some_and(|since| now.ms_since(since) > DOUBTED_MAX_MS);
        Due { ack, ping, dead: doubted || now.ms_since(self.heard) > SILENCE_MAX_MS }
    }

    fn note_media(&mut self, now: Moment, received: u64) {
        let (at, count) = self.media.unwrap_or((now, 0));
        if received > count {
            if now.ms_since(at) > LULL_MS {
                self.alerted = Some(now);
            }
            self.media = Some((now, received));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    fn open() -> Liveness {
        let mut liveness = Liveness::new(at(0.0));
        liveness.opened(at(0.0));
        liveness
    }

    #[test]
    fn first_message_is_acknowledged_at_once_then_four_per_second() {
        let mut liveness = open();
        assert!(!liveness.due(at(1.0), 0).ack, "nothing has arrived");
        let acks = (1..=50).filter(|&n| liveness.due(at(40.0 * n as f64), n).ack).count();
        assert_eq!(acks, 8, "2 s of 25 messages a second, every seventh acknowledged");
    }

    #[test]
    fn frames_after_a_lull_are_acknowledged_one_by_one() {
        let mut liveness = open();
        for n in 1..=25 {
            liveness.due(at(40.0 * n as f64), n);
        }
        let late = |n: u64| at(1400.0 + 50.0 * n as f64);
        let acks: Vec<_> = (0..30).filter(|&n| liveness.due(late(n), 26 + n).ack).collect();
        assert_eq!(acks, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 19, 24, 29]);
    }

    #[test]
    fn no_new_message_sends_no_acknowledgement() {
        let mut liveness = open();
        assert!(liveness.due(at(10.0), 3).ack);
        assert!(!liveness.due(at(900.0), 3).ack);
        assert!(liveness.due(at(901.0), 4).ack);
    }

    #[test]
    fn silence_times_out_unless_a_message_arrives() {
        let mut liveness = open();
        assert!(!liveness.due(at(SILENCE_MAX_MS), 0).dead);
        assert!(liveness.due(at(SILENCE_MAX_MS + 1.0), 0).dead);
        liveness.heard(at(SILENCE_MAX_MS + 2.0));
        assert!(!liveness.due(at(SILENCE_MAX_MS + 3.0), 0).dead);
    }

    #[test]
    fn socket_that_never_opens_times_out() {
        let mut liveness = Liveness::new(at(0.0));
        assert_eq!(liveness.due(at(CONNECT_MAX_MS), 0), Due::default());
        assert!(liveness.due(at(CONNECT_MAX_MS + 1.0), 0).dead);
        assert_eq!(liveness.lived_ms(at(99.0)), 0.0);
    }

    #[test]
    fn quiet_connection_is_pinged_and_a_probed_one_at_once() {
        let mut liveness = open();
        (0..=10).for_each(|n| {
            liveness.due(at(200.0 * f64::from(n)), 0);
        });
        liveness.heard(at(2000.0));
        assert!(!liveness.due(at(2000.0 + QUIET_MS - 1.0), 0).ping);
        assert!(liveness.due(at(2000.0 + QUIET_MS), 0).ping);
        liveness.heard(at(5000.0));
        liveness.probe(at(5001.0));
        assert!(liveness.due(at(5001.0), 0).ping);
        liveness.probe(at(7000.0));
        assert!(!liveness.due(at(5001.0 + DOUBTED_MAX_MS), 0).dead);
        assert!(liveness.due(at(5002.0 + DOUBTED_MAX_MS), 0).dead, "doubted again, it is not given more time");
        liveness.heard(at(8003.0));
        assert!(!liveness.due(at(8100.0), 0).dead);
    }

    #[test]
    fn pings_repeat_after_the_first() {
        let mut liveness = open();
        let asks = |n: &i32| {
            let now = at(100.0 * f64::from(*n));
            liveness.heard(now);
            liveness.due(now, 0).ping
        };
        let pings = (0..=200).filter(asks).count();
        assert_eq!(pings, 5 + 3, "in 20 s");
    }
}
