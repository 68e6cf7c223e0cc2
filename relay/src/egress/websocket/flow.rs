//! Flow control from end to end: how much may be on its way to a viewer.
//!
//! Behind a tunnel the relay's TCP peer is the tunnel's daemon, so the socket says nothing about the viewer's link; what
//! counts is what the viewer acknowledges. Pure: the time is passed in, as the time since the session began.

use std::collections::VecDeque;
use std::time::Duration;

/// What an acknowledgement may be late beside the round trip: viewers acknowledge four times a second, and a page
/// that is being laid out stalls for longer than that.
const ALLOWANCE: Duration = Duration::from_millis(750);
/// The round trip assumed before it has been measured.
const RTT_UNKNOWN: Duration = Duration::from_millis(250);
/// No link is worth more in flight than this.
const BUDGET_MAX: Duration = Duration::from_secs(3);
/// Round trips to choose the smallest of: one every five seconds, so a path that has become longer is believed after a
/// minute.
const ROUND_TRIPS: usize = 12;
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

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Flow {
    sent: u64,
    /// When each message that is not acknowledged was sent, oldest first. Its length is bounded by the budget's worth
    /// of fragments and the GOP that a viewer starts with.
    in_flight: VecDeque<Duration>,
    /// When an acknowledgement last told of a message that had not been acknowledged.
    progress: Duration,
    /// The newest round trips, at most [`ROUND_TRIPS`].
    round_trips: VecDeque<Duration>,
}

impl Flow {
    /// A message leaves at `now`.
    pub(super) fn sent(&mut self, now: Duration) {
        self.sent += 1;
        self.in_flight.push_back(now);
    }

    /// The viewer has received `received` messages in all. A smaller number than before says nothing new.
    pub(super) fn acknowledged(&mut self, received: u64, now: Duration) -> Result<(), ImpossibleAck> {
        let outstanding =
            self.sent.checked_sub(received).ok_or(ImpossibleAck { acknowledged: received, sent: self.sent })?;
        while self.in_flight.len() as u64 > outstanding {
            self.in_flight.pop_front();
            self.progress = now;
        }
        Ok(())
    }

    /// A ping was answered after `rtt`.
    pub(super) fn round_trip(&mut self, rtt: Duration) {
        if self.round_trips.len() == ROUND_TRIPS {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(rtt);
    }

    /// How long a message may stay unacknowledged before sending stops.
    pub(super) fn budget(&self) -> Duration {
        // The smallest is the link without its queues.
        let link = self.round_trips.iter().min().copied().unwrap_or(RTT_UNKNOWN);
        (link + ALLOWANCE).min(BUDGET_MAX)
    }

    /// What may be done at `now`.
    pub(super) fn permit(&self, now: Duration) -> Permit {
        let Some(&oldest) = self.in_flight.front() else {
            return Permit::Send;
        };
        // A slow link may take long over the GOP that a viewer starts with, and yet get on with it.
        if now.saturating_sub(oldest.max(self.progress)) > SILENCE {
            Permit::Close
        } else if now.saturating_sub(oldest) > self.budget() {
            Permit::Hold
        } else {
            Permit::Send
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_unacknowledged_viewer_is_held_and_then_given_up() {
        let mut flow = Flow::default();
        flow.sent(ms(0));
        flow.sent(ms(40));
        assert_eq!(flow.permit(ms(1000)), Permit::Send);
        assert_eq!(flow.permit(ms(1001)), Permit::Hold);
        flow.acknowledged(1, ms(1040)).unwrap();
        assert_eq!(flow.permit(ms(1040)), Permit::Send, "now the second is the oldest");
        assert_eq!(flow.permit(ms(11_040)), Permit::Hold);
        assert_eq!(flow.permit(ms(11_041)), Permit::Close);
        flow.acknowledged(2, ms(11_042)).unwrap();
        assert_eq!(flow.permit(ms(60_000)), Permit::Send, "a silent camera is not the viewer's fault");
    }

    #[test]
    fn a_viewer_that_gets_on_with_a_large_start_is_not_given_up() {
        let mut flow = Flow::default();
        (0..250).for_each(|_| flow.sent(ms(0)));
        for acknowledged in 1..=250 {
            let now = ms(acknowledged * 100);
            flow.acknowledged(acknowledged, now).unwrap();
            assert_ne!(flow.permit(now), Permit::Close, "after {now:?}");
        }
        assert_eq!(flow.permit(ms(25_000)), Permit::Send);
    }

    #[test]
    fn the_budget_follows_the_links_own_round_trip() {
        let mut flow = Flow::default();
        assert_eq!(flow.budget(), RTT_UNKNOWN + ALLOWANCE);
        flow.round_trip(ms(900));
        flow.round_trip(ms(40));
        flow.round_trip(ms(600));
        assert_eq!(flow.budget(), ms(40) + ALLOWANCE, "queues are not the link");
        (0..ROUND_TRIPS).for_each(|_| flow.round_trip(ms(500)));
        assert_eq!(flow.budget(), ms(500) + ALLOWANCE, "the path has changed");
        let mut far = Flow::default();
        far.round_trip(ms(5000));
        assert_eq!(far.budget(), BUDGET_MAX);
    }

    #[test]
    fn acknowledging_what_was_not_sent_is_an_error() {
        let mut flow = Flow::default();
        flow.sent(ms(0));
        assert_eq!(flow.acknowledged(2, ms(1)), Err(ImpossibleAck { acknowledged: 2, sent: 1 }));
    }

    proptest! {
        #[test]
        fn the_record_holds_exactly_what_is_outstanding(
            steps in proptest::collection::vec((any::<bool>(), 0u64..60), 0..200)
        ) {
            let mut flow = Flow::default();
            let mut highest = 0;
            for (n, (send, received)) in steps.into_iter().enumerate() {
                if send {
                    flow.sent(ms(n as u64));
                } else if flow.acknowledged(received, ms(n as u64)).is_ok() {
                    highest = highest.max(received);
                }
                prop_assert_eq!(flow.in_flight.len() as u64, flow.sent - highest);
            }
        }
    }
}
