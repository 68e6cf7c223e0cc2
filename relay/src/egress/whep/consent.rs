//! The consent of a viewer's UDP addresses to receive packets (RFC 7675). Pure: answers and time in, decisions out.
//!
//! A viewer knows its session's password and can forge the source address of its requests. So a request with a correct
//! integrity does not prove that its source address is the viewer's. An answer to a request of the relay does: it
//! repeats a random transaction id, which only the receiver of that request has seen.
//!
//! - A request from an address without consent waits while the relay asks that address with one request of its own.
//! - Consent lasts for [`CONSENT`] after the answered request was sent. A late or repeated answer does not extend it.
//! - While the relay sends to an address, it repeats the check every [`CHECK_INTERVAL`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use str0m::ice::TransId;

/// Interval between requests to an address with consent (RFC 7675, section 5.1).
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long consent lasts (RFC 7675, section 5.1).
pub(super) const CONSENT: Duration = Duration::from_secs(30);
/// Maximum number of addresses: one per network of the viewer, and per mapping of a NAT.
const ADDRESSES_MAX: usize = 16;
/// Maximum number of unanswered requests to one address. A viewer repeats its own ten times a second at most.
const UNANSWERED_MAX: usize = 8;

/// One address of the viewer.
#[derive(Debug)]
struct Address {
    at: SocketAddr,
    /// The unanswered requests to the address, with their times.
    unanswered: VecDeque<(TransId, Duration)>,
    /// The time of the newest request to the address.
    asked: Option<Duration>,
    /// The time of the newest answered request.
    given: Option<Duration>,
    /// The newest request from the address, which waits for consent.
    held: Option<Bytes>,
}

/// See the [module](self). Times are since the session began.
#[derive(Debug, Default)]
pub(super) struct Consent {
    addresses: VecDeque<Address>,
}

impl Consent {
    /// Whether packets may be sent to `at`.
    pub(super) fn is_given(&self, at: SocketAddr, now: Duration) -> bool {
        self.find(at).is_some_and(|address| address.is_given(now))
    }

    /// Whether `at`, which has given consent, is to be asked again.
    pub(super) fn is_check_due(&self, at: SocketAddr, now: Duration) -> bool {
        self.find(at).is_some_and(|address| address.asked.is_none_or(|asked| now >= asked + CHECK_INTERVAL))
    }

    /// Keeps the viewer's newest request from `at`, which has not given consent.
    pub(super) fn hold(&mut self, at: SocketAddr, request: Bytes, now: Duration) {
        if self.find(at).is_none() && self.addresses.len() >= ADDRESSES_MAX {
            let oldest = self.addresses.iter().position(|address| !address.is_given(now)).unwrap_or_default();
            self.addresses.remove(oldest);
        }
        if self.find(at).is_none() {
            let address = Address { at, unanswered: VecDeque::new(), asked: None, given: None, held: None };
            self.addresses.push_back(address);
        }
        if let Some(address) = self.find_mut(at) {
            address.held = Some(request);
        }
    }

    /// Records a request to `at`.
    pub(super) fn on_check(&mut self, at: SocketAddr, transaction: TransId, now: Duration) {
        let Some(address) = self.find_mut(at) else { return };
        address.asked = Some(now);
        address.unanswered.push_back((transaction, now));
        if address.unanswered.len() > UNANSWERED_MAX {
            address.unanswered.pop_front();
        }
    }

    /// Records an answer from `at`. Returns whether it gives consent.
    pub(super) fn on_answer(&mut self, at: SocketAddr, transaction: TransId, now: Duration) -> bool {
        let Some(address) = self.find_mut(at) else { return false };
        let Some(answered) = address.unanswered.iter().position(|&(id, _)| id == transaction) else { return false };
        let (_, sent) = address.unanswered[answered];
        address.unanswered.drain(..=answered);
        address.given = Some(sent);
        address.is_given(now)
    }

    /// The viewer's request from `at` that waited for consent.
    pub(super) fn take_held(&mut self, at: SocketAddr) -> Option<Bytes> {
        self.find_mut(at)?.held.take()
    }

    fn find(&self, at: SocketAddr) -> Option<&Address> {
        self.addresses.iter().find(|address| address.at == at)
    }

    fn find_mut(&mut self, at: SocketAddr) -> Option<&mut Address> {
        self.addresses.iter_mut().find(|address| address.at == at)
    }
}

impl Address {
    fn is_given(&self, now: Duration) -> bool {
        self.given.is_some_and(|given| now < given + CONSENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::whep::stun::transaction_id;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn request() -> Bytes {
        Bytes::from_static(b"request")
    }

    /// Asks `at` and returns the transaction.
    fn ask(consent: &mut Consent, at: SocketAddr, now: Duration) -> TransId {
        let transaction = transaction_id();
        consent.on_check(at, transaction, now);
        transaction
    }

    #[test]
    fn only_the_answer_from_the_asked_address_gives_consent() {
        let mut consent = Consent::default();
        consent.hold(address(1), request(), s(0));
        consent.hold(address(2), request(), s(0));
        let transaction = ask(&mut consent, address(1), s(0));
        assert!(!consent.is_given(address(1), s(0)));
        assert!(!consent.on_answer(address(2), transaction, s(0)), "another address");
        assert!(!consent.on_answer(address(1), transaction_id(), s(0)), "another transaction");
        assert!(consent.on_answer(address(1), transaction, s(1)));
        assert_eq!((consent.take_held(address(1)), consent.take_held(address(1))), (Some(request()), None));
        assert!(consent.is_given(address(1), s(1)) && !consent.is_given(address(2), s(1)));
        assert!(!consent.on_answer(address(1), transaction, s(2)), "a repeated answer");
    }

    #[test]
    fn consent_ends_30_s_after_the_newest_answered_check_was_sent() {
        let mut consent = Consent::default();
        consent.hold(address(1), request(), s(0));
        let [first, late] = [s(0), s(20)].map(|now| ask(&mut consent, address(1), now));
        assert!(consent.on_answer(address(1), first, s(1)));
        assert!(consent.is_given(address(1), s(29)) && !consent.is_given(address(1), s(30)));
        // An answer that was kept back counts from its request.
        assert!(consent.on_answer(address(1), late, s(49)));
        assert!(!consent.is_given(address(1), s(50)));
    }

    #[test]
    fn address_is_asked_again_every_five_seconds() {
        let mut consent = Consent::default();
        assert!(!consent.is_check_due(address(1), s(0)), "an unknown address is not asked");
        consent.hold(address(1), request(), s(0));
        ask(&mut consent, address(1), s(0));
        assert!(!consent.is_check_due(address(1), s(4)) && consent.is_check_due(address(1), s(5)));
    }

    #[test]
    fn forged_addresses_are_bounded_and_leave_the_viewers_consent() {
        let mut consent = Consent::default();
        consent.hold(address(1), request(), s(0));
        let transaction = ask(&mut consent, address(1), s(0));
        assert!(consent.on_answer(address(1), transaction, s(0)));
        for port in 2..2000 {
            consent.hold(address(port), request(), s(1));
            for _ in 0..20 {
                ask(&mut consent, address(port), s(1));
            }
        }
        assert_eq!(consent.addresses.len(), ADDRESSES_MAX);
        assert!(consent.addresses.iter().all(|address| address.unanswered.len() <= UNANSWERED_MAX));
        assert!(consent.is_given(address(1), s(1)));
    }
}
