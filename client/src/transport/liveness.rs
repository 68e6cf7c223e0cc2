//! What a connection owes, and whether the other side is still there.
//!
//! Asked on every arriving message as well as by a timer: browsers slow the timers of a background tab to one a
//! minute, while messages keep arriving.

use crate::time::Moment;

/// Four acknowledgements a second: often enough for the relay's flow control, few enough to cost nothing.
const ACK_EVERY_MS: f64 = 250.0;
/// The viewer's own pings; the relay's keep the line open as well.
const PING_EVERY_MS: f64 = 5_000.0;
/// The relay pings at least every 5 s: twice that without a byte is a dead line, whatever the socket says.
const SILENCE_MAX_MS: f64 = 10_000.0;
/// Tunnels take up to 8 s to set a WebSocket up; beyond this it is not coming.
const CONNECT_MAX_MS: f64 = 15_000.0;

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// An acknowledgement should be sent.
    pub ack: bool,
    /// A ping should be sent.
    pub ping: bool,
    /// Nothing came for too long: close the socket and open another.
    pub dead: bool,
}

/// The times that matter about one socket.
#[derive(Debug, Clone)]
pub struct Liveness {
    created: Moment,
    opened: Option<Moment>,
    heard: Moment,
    acknowledged: Option<(Moment, u64)>,
    pinged: Option<Moment>,
}

impl Liveness {
    /// A socket begins to connect.
    pub fn new(now: Moment) -> Self {
        Self { created: now, opened: None, heard: now, acknowledged: None, pinged: None }
    }

    /// The socket opened.
    pub fn opened(&mut self, now: Moment) {
        self.opened = Some(now);
        self.heard = now;
        self.pinged = Some(now);
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// How long the socket has been open, in milliseconds.
    pub fn lived_ms(&self, now: Moment) -> f64 {
        self.opened.map_or(0.0, |opened| now.ms_since(opened))
    }

    /// What is due, `received` being the number of binary messages so far. What it names counts as done.
    pub fn due(&mut self, now: Moment, received: u64) -> Due {
        if self.opened.is_none() {
            return Due { dead: now.ms_since(self.created) > CONNECT_MAX_MS, ..Due::default() };
        }
        let ack = match self.acknowledged {
            None => received > 0,
            Some((at, count)) => received > count && now.ms_since(at) >= ACK_EVERY_MS,
        };
        let ping = self.pinged.is_none_or(|at| now.ms_since(at) >= PING_EVERY_MS);
        if ack {
            self.acknowledged = Some((now, received));
        }
        if ping {
            self.pinged = Some(now);
        }
        Due { ack, ping, dead: now.ms_since(self.heard) > SILENCE_MAX_MS }
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
    fn the_first_message_is_acknowledged_at_once_and_then_four_times_a_second() {
        let mut liveness = open();
        assert!(!liveness.due(at(1.0), 0).ack, "nothing has arrived");
        let acks = (1..=50).filter(|&n| liveness.due(at(40.0 * n as f64), n).ack).count();
        assert_eq!(acks, 8, "2 s of 25 messages a second, every seventh acknowledged");
    }

    #[test]
    fn nothing_new_needs_no_acknowledgement() {
        let mut liveness = open();
        assert!(liveness.due(at(10.0), 3).ack);
        assert!(!liveness.due(at(900.0), 3).ack);
        assert!(liveness.due(at(901.0), 4).ack);
    }

    #[test]
    fn silence_kills_and_any_message_revives() {
        let mut liveness = open();
        assert!(!liveness.due(at(SILENCE_MAX_MS), 0).dead);
        assert!(liveness.due(at(SILENCE_MAX_MS + 1.0), 0).dead);
        liveness.heard(at(SILENCE_MAX_MS + 2.0));
        assert!(!liveness.due(at(SILENCE_MAX_MS + 3.0), 0).dead);
    }

    #[test]
    fn a_socket_that_never_opens_is_given_up() {
        let mut liveness = Liveness::new(at(0.0));
        assert_eq!(liveness.due(at(CONNECT_MAX_MS), 0), Due::default());
        assert!(liveness.due(at(CONNECT_MAX_MS + 1.0), 0).dead);
        assert_eq!(liveness.lived_ms(at(99.0)), 0.0);
    }

    #[test]
    fn pings_go_out_every_few_seconds() {
        let mut liveness = open();
        let pings = (0..=200).filter(|&n| liveness.due(at(100.0 * f64::from(n)), 0).ping).count();
        assert_eq!(pings, 4, "in 20 s");
    }
}
