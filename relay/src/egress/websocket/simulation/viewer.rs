//! A viewer: acknowledges as the client does, and knows how old the newest picture is that it has got.

/// What goes to a viewer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Down {
    Init,
    /// A frame captured then.
    Frame(u64),
    /// A ping that says it was sent then.
    Ping(f64),
}

/// What a viewer answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Up {
    Ack { received: u64, at: f64 },
    Pong { sent: f64, at: f64, received: u64 },
}

/// The client's own acknowledgements.
const ACK_EVERY: u64 = 250;
/// After a silence of so long it acknowledges so often for so long.
const SILENCE: u64 = 150;
const ACK_ALERT: u64 = 40;
const ALERT: u64 = 500;
/// Its clock is not the relay's.
const CLOCK: f64 = 7_000_123.0;

#[derive(Debug, Default)]
pub(super) struct Viewer {
    received: u64,
    /// When the newest message arrived, and until when it acknowledges more often.
    heard: u64,
    alert: u64,
    /// When the newest message arrived, by its clock.
    arrived: f64,
    /// When how many messages were acknowledged.
    acknowledged: Option<(u64, u64)>,
    /// When the newest frame was captured that has arrived.
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
        self.alert = if now > self.heard + SILENCE { now + ALERT } else { self.alert };
        (self.arrived, self.heard) = (at, now);
        self.acknowledge(now)
    }

    /// The client looks after itself a few times a second.
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

    /// How old the newest picture is, in milliseconds.
    pub(super) fn age(&self, now: u64) -> Option<u64> {
        Some(now - self.newest?)
    }
}
