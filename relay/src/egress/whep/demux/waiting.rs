//! Sessions that wait for their viewer to connect: a total, and a share for each client. Pure.
//!
//! A session that exceeds a limit takes the place of the oldest one of the same client, or of the client with the most. So
//! offers that are never connected shorten the wait of their own client first, and are no reason to refuse another one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::SessionId;

/// Maximum number of waiting sessions. A viewer connects within a fraction of a second, so more than these are abandoned.
pub(super) const WAITING_MAX: usize = 256;
/// Maximum number of waiting sessions of one client: more tiles than a page opens at once.
pub(super) const WAITING_PER_CLIENT: usize = 64;
/// The time that every session has to connect, however many wait. Browsers take a second at most, unless slow servers delay
/// their candidates.
const CONNECT_TIME_MIN: Duration = Duration::from_secs(2);

/// A session that waits.
#[derive(Debug)]
struct WaitingSession {
    id: SessionId,
    /// `None` for clients that a proxy or tunnel does not name, which count as one and have no share.
    client: Option<IpAddr>,
    since: Instant,
}

/// Whether another session may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Yes.
    Free,
    /// In the place of this one.
    Replace(SessionId),
    /// Not yet.
    Full,
}

/// See the [module](self). The oldest comes first.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<WaitingSession>);

impl Waiting {
    /// Whether a session of `client` may wait.
    pub(super) fn room(&self, client: Option<IpAddr>, now: Instant) -> Room {
        let of = |client| move |session: &&WaitingSession| session.client == client;
        let is_over_share = client.is_some() && self.0.iter().filter(of(client)).count() >= WAITING_PER_CLIENT;
        let from = match is_over_share {
            true => client,
            false if self.0.len() < WAITING_MAX => return Room::Free,
            false => self.largest_client(),
        };
        match self.0.iter().find(of(from)) {
            Some(oldest) if now.duration_since(oldest.since) >= CONNECT_TIME_MIN => Room::Replace(oldest.id),
            _ => Room::Full,
        }
    }

    /// The client with the most sessions.
    fn largest_client(&self) -> Option<IpAddr> {
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for session in &self.0 {
            *counts.entry(session.client).or_default() += 1;
        }
        // Of several, the one with the oldest session.
        let most = counts.values().copied().max().unwrap_or_default();
        self.0.iter().map(|session| session.client).find(|client| counts[client] == most).flatten()
    }

    /// Adds a session of `client`.
    pub(super) fn add(&mut self, id: SessionId, client: Option<IpAddr>, now: Instant) {
        self.0.push_back(WaitingSession { id, client, since: now });
    }

    /// Removes a session that no longer waits.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.0.retain(|session| session.id != id);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(n: u8) -> Option<IpAddr> {
        Some([192, 0, 2, n].into())
    }

    /// Adds a session if there is room. Returns whether there was.
    fn offer(waiting: &mut Waiting, id: u128, client: Option<IpAddr>, now: Instant) -> bool {
        match waiting.room(client, now) {
            Room::Full => return false,
            Room::Replace(oldest) => waiting.remove(oldest),
            Room::Free => {}
        }
        waiting.add(SessionId(id), client, now);
        true
    }

    fn is_waiting(waiting: &Waiting, id: u128) -> bool {
        waiting.0.iter().any(|session| session.id == SessionId(id))
    }

    #[test]
    fn client_over_its_share_replaces_its_own_oldest_session() {
        let (mut waiting, begun) = (Waiting::default(), Instant::now());
        assert!(offer(&mut waiting, 0, client(1), begun));
        for id in 0..WAITING_PER_CLIENT as u128 {
            assert!(offer(&mut waiting, 100 + id, client(2), begun));
        }
        assert_eq!(waiting.room(client(2), begun), Room::Full, "each has its time to connect");
        assert_eq!(waiting.room(client(1), begun), Room::Free);
        assert_eq!(waiting.room(client(2), begun + CONNECT_TIME_MIN), Room::Replace(SessionId(100)));
        assert_eq!(waiting.room(None, begun), Room::Free);
    }

    #[test]
    fn session_over_the_total_replaces_the_oldest_of_the_largest_client() {
        let (mut waiting, begun) = (Waiting::default(), Instant::now());
        for id in 0..WAITING_MAX as u128 {
            // The unnamed clients have the most.
            let client = if id % 2 == 0 { client(u8::try_from(id % 200).unwrap()) } else { None };
            assert!(offer(&mut waiting, id, client, begun));
        }
        assert_eq!(waiting.room(client(201), begun), Room::Full);
        assert_eq!(waiting.room(client(201), begun + CONNECT_TIME_MIN), Room::Replace(SessionId(1)));
    }

    /// The attack of the issue: abandoned offers from one address, at rates up to 500 a second, beside viewers who connect
    /// within a second.
    #[test]
    fn flood_of_one_client_refuses_and_replaces_no_viewer_of_another() {
        for per_second in [20, 100, 500] {
            let (mut waiting, begun) = (Waiting::default(), Instant::now());
            for n in 0..per_second * 20 {
                let now = begun + Duration::from_secs(1) * n / per_second;
                offer(&mut waiting, u128::from(n), client(1), now);
                if n % per_second == 0 {
                    let id = 1_000_000 + u128::from(n);
                    if n > 0 {
                        let before = id - u128::from(per_second);
                        assert!(is_waiting(&waiting, before), "it has had a second");
                        waiting.remove(SessionId(before));
                    }
                    assert!(offer(&mut waiting, id, client(2), now), "{per_second} a second");
                }
            }
        }
    }

    /// Behind a tunnel that names no client, all share the total.
    #[test]
    fn flood_of_unnamed_clients_leaves_two_seconds_to_connect() {
        let (mut waiting, begun) = (Waiting::default(), Instant::now());
        for n in 0..100 * 20 {
            let now = begun + Duration::from_millis(10) * n;
            assert!(offer(&mut waiting, u128::from(n), None, now), "100 a second fit");
            assert!(n < 200 || is_waiting(&waiting, u128::from(n) - 200), "it was offered two seconds ago");
        }
    }

    proptest! {
        #[test]
        fn limits_hold_for_any_sequence(offers in proptest::collection::vec((0u8..6, 0u64..500), 0..900)) {
            let (mut waiting, mut now) = (Waiting::default(), Instant::now());
            for (id, (from, pause)) in offers.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                offer(&mut waiting, id as u128, if from == 0 { None } else { client(from) }, now);
                prop_assert!(waiting.len() <= WAITING_MAX);
                let own = waiting.0.iter().filter(|session| session.client == client(1)).count();
                prop_assert!(own <= WAITING_PER_CLIENT);
            }
        }
    }
}
