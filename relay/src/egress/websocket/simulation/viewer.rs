//! A viewer: acknowledges as the client does, and records the newest frame that it has received.

/// A message to the viewer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Down {
    Init,
    /// A frame with its capture time.
    Frame(u64),
    /// A ping with the time at which it was sent.
    Ping(f64),
}

/// A message from the viewer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Up {
    Ack { received: u64, at: f64 },
    Pong { sent: f64, at: f64, received: u64 },
}

/// Interval of the client's unsolicited acknowledgements.
const ACK_EVERY: u64 = 250;
/// After a silence of `SILENCE`, the viewer acknowledges every `ACK_ALERT` for the time of `ALERT`.
const SILENCE: u64 = 150;
const ACK_ALERT: u64 = 40;
const ALERT: u64 = 500;
/// Offset of the viewer's clock from the relay's.
const CLOCK: f64 = 7_000_123.0;

#[derive(Debug, Default)]
pub(super) struct Viewer {
    received: u64,
    /// Arrival time of the newest message, and the end of frequent acknowledgements.
    last_message: u64,
    alert: u64,
    /// Arrival time of the newest message by the viewer's clock.
    arrived: f64,
    /// Time of the last acknowledgement and its number of messages.
    acknowledged: Option<(u64, u64)>,
    /// Capture time of the newest frame received.
    newest: Option<u64>,
}

impl Viewer {
    pub(super) fn receive(&mut self, message: Down, now: u64) -> Option<Up> {
        let at = now as f64 + CLOCK;
        match message {
            Down::Ping(sent) => return Some(Up::Pong { sent, at, received: self.received }),
            Down::Init => self.received += 1,
            Down::Frame(captured) => {
                self.received += 1;
                self.newest = self.newest.max(Some(captured));
            }
        }
        self.alert = if now > self.last_message + SILENCE { now + ALERT } else { self.alert };
        (self.arrived, self.last_message) = (at, now);
        self.acknowledge(now)
    }

    /// The client's timer fires a few times per second.
    pub(super) fn tick(&mut self, now: u64) -> Option<Up> {
        if now.is_multiple_of(ACK_EVERY) { self.acknowledge(now) } else { None }
    }

    fn acknowledge(&mut self, now: u64) -> Option<Up> {
        let due = match self.acknowledged {
            None => self.received > 0,
            Some((at, count)) => {
                self.received > count && now >= at + if now < self.alert { ACK_ALERT } else { ACK_EVERY }
            }
        };
        self.acknowledged = if due { Some((now, self.received)) } else { self.acknowledged };
        due.then_some(Up::Ack { received: self.received, at: self.arrived })
    }

    /// The age of the newest frame, in milliseconds.
    pub(super) fn age(&self, now: u64) -> Option<u64> {
        Some(now - self.newest?)
    }
}
