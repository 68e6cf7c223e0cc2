//! The relays of the cluster and their streams, as announced, and the names under which this relay lists the streams.
//!
//! - A relay that is not heard for [`EXPIRES_AFTER`] is away. Its streams stay listed, so that viewers see why there is no video and
//!   go on when it returns. After [`FORGET_AFTER`] they are gone.
//! - A name that one relay announces is listed as it is. A name that several relays have is listed as `name@relay` for each of the
//!   others. The plain name belongs to this relay's own stream, or else to the relay that has it already, or else to the one that
//!   has announced it longest.
//!
//! Nothing is stored, so nothing outlives its relay. Pure: reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sightline_protocol::stream::StreamName;
use tokio::time::Instant;

use super::message::{AnnouncedStream, Announcement};

/// How long an announcement counts. Relays announce every second: three may be lost.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_secs(4);
/// How long a relay that is away stays listed: longer than the repair of a machine that a person has to visit.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Maximum number of relays. Each costs a few kilobytes, and announcements come from the NATS server only.
const RELAYS_MAX: usize = 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Presence {
    /// The name of this relay.
    own: String,
    relays: BTreeMap<String, KnownRelay>,
    /// The relay that has each plain name.
    holders: BTreeMap<StreamName, String>,
    /// The claims that were returned last.
    claims: BTreeSet<Claim>,
}

#[derive(Debug)]
struct KnownRelay {
    epoch: u64,
    heard: Instant,
    is_away: bool,
    streams: BTreeMap<StreamName, AnnouncedStream>,
}

/// A change, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A relay is there, with this number of streams.
    Appeared(String, usize),
    /// A relay has started again.
    Restarted(String),
    /// A relay is not heard any more.
    Away(String),
    /// A relay is not listed any more.
    Forgotten(String),
}

/// A stream of another relay, as this one lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The name on this relay.
    pub(super) name: StreamName,
    pub(super) relay: String,
    /// [`Announcement::epoch`] of that relay.
    pub(super) epoch: u64,
    pub(super) is_away: bool,
    pub(super) stream: AnnouncedStream,
}

/// A name that several relays announce.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) name: StreamName,
    /// The relay that has the plain name.
    pub(super) holder: String,
    /// All relays that announce it.
    pub(super) relays: Vec<String>,
}

impl Presence {
    /// No relay but this one, which has the name `own`.
    pub(super) fn new(own: String) -> Self {
        Self { own, relays: BTreeMap::new(), holders: BTreeMap::new(), claims: BTreeSet::new() }
    }

    /// Takes the announcement of another relay, which was heard at `now`.
    pub(super) fn announce(&mut self, announcement: Announcement, now: Instant) -> Option<Change> {
        let Announcement { relay: name, epoch, streams } = announcement;
        if name == self.own || (self.relays.len() >= RELAYS_MAX && !self.relays.contains_key(&name)) {
            return None;
        }
        let count = streams.len();
        let streams = streams.into_iter().map(|stream| (stream.name.clone(), stream)).collect();
        let relay = KnownRelay { epoch, heard: now, is_away: false, streams };
        match self.relays.insert(name.clone(), relay) {
            Some(before) if !before.is_away && before.epoch == epoch => None,
            Some(before) if !before.is_away => Some(Change::Restarted(name)),
            _ => Some(Change::Appeared(name, count)),
        }
    }

    /// Notes which relays are not heard any more at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        self.relays.retain(|name, relay| {
            let silent = now.saturating_duration_since(relay.heard);
            if silent >= EXPIRES_AFTER && !relay.is_away {
                relay.is_away = true;
                changes.push(Change::Away(name.clone()));
            }
            let stays = silent < FORGET_AFTER;
            if !stays {
                changes.push(Change::Forgotten(name.clone()));
            }
            stays
        });
        changes
    }

    /// The relays that are not away.
    pub(super) fn present(&self) -> impl Iterator<Item = &str> {
        self.relays.iter().filter(|(_, relay)| !relay.is_away).map(|(name, _)| &**name)
    }

    /// The streams of other relays beside `own`, the streams of this one; and the names that several relays claim, if that has
    /// changed.
    pub(super) fn list(&mut self, own: &BTreeSet<StreamName>) -> (Vec<Listed>, Vec<Claim>) {
        let mut claimants: BTreeMap<&StreamName, Vec<&str>> = BTreeMap::new();
        for (relay, name) in self.relays.iter().flat_map(|(relay, of)| of.streams.keys().map(move |name| (relay, name)))
        {
            claimants.entry(name).or_default().push(relay);
        }
        let (mut listed, mut qualified) = (BTreeMap::new(), Vec::new());
        let (mut holders, mut claims) = (BTreeMap::new(), BTreeSet::new());
        for (name, relays) in claimants {
            let is_own = own.contains(name);
            let holder = if is_own { &*self.own } else { self.holder(name, &relays) };
            if !is_own {
                holders.insert(name.clone(), holder.to_owned());
                listed.insert(name.clone(), self.listed(name.clone(), name, holder));
            }
            if is_own || relays.len() > 1 {
                qualified.extend(relays.iter().map(|relay| (name, *relay)));
                let others = relays.iter().map(|relay| (*relay).to_owned());
                let relays = others.chain(is_own.then(|| self.own.clone())).collect();
                claims.insert(Claim { name: name.clone(), holder: holder.to_owned(), relays });
            }
        }
        for (name, relay) in qualified {
            // A name near the maximum length has no longer form. A camera may have a name with an @.
            if let Ok(long) = format!("{name}@{relay}").parse::<StreamName>()
                && !own.contains(&long)
            {
                listed.entry(long.clone()).or_insert_with(|| self.listed(long, name, relay));
            }
        }
        let listed = listed.into_values().collect();
        let new = claims.difference(&self.claims).cloned().collect();
        (self.holders, self.claims) = (holders, claims);
        (listed, new)
    }

    /// The relay of `relays` that has the plain name.
    fn holder<'a>(&self, name: &StreamName, relays: &[&'a str]) -> &'a str {
        let order = |relay: &&&'a str| {
            let of = &self.relays[**relay];
            let is_holder = self.holders.get(name).is_some_and(|holder| holder == **relay);
            (of.is_away, !is_holder, of.streams[name].since, **relay)
        };
        relays.iter().min_by_key(order).copied().unwrap_or_default()
    }

    fn listed(&self, shown: StreamName, name: &StreamName, relay: &str) -> Listed {
        let of = &self.relays[relay];
        let stream = of.streams[name].clone();
        Listed { name: shown, relay: relay.to_owned(), epoch: of.epoch, is_away: of.is_away, stream }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(relay: &str, epoch: u64, streams: &[(&str, u64)]) -> Announcement {
        let stream = |&(name, since): &(&str, u64)| AnnouncedStream {
            name: name.parse().unwrap(),
            since,
            low: true,
            sub: false,
            audio: None,
        };
        Announcement { relay: relay.into(), epoch, streams: streams.iter().map(stream).collect() }
    }

    fn own(names: &[&str]) -> BTreeSet<StreamName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// Names, with the relay of each.
    fn list(presence: &mut Presence, names: &[&str]) -> Vec<String> {
        let listed = presence.list(&own(names)).0;
        listed
            .iter()
            .map(|listed| format!("{} {}{}", listed.name, listed.relay, if listed.is_away { " away" } else { "" }))
            .collect()
    }

    #[test]
    fn relay_is_away_after_four_seconds_and_forgotten_after_an_hour() {
        let (mut presence, start) = (Presence::new("x".into()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let a = || announcement("a", 1, &[("yard", 1)]);
        assert_eq!(presence.announce(a(), at(0)), Some(Change::Appeared("a".into(), 1)));
        assert_eq!(presence.announce(a(), at(1)), None);
        assert_eq!(presence.expire(at(4)), []);
        assert_eq!(presence.present().collect::<Vec<_>>(), ["a"]);
        assert_eq!(presence.expire(at(5)), [Change::Away("a".into())]);
        assert_eq!(presence.expire(at(6)), []);
        assert_eq!(list(&mut presence, &[]), ["yard a away"]);
        assert_eq!(presence.announce(a(), at(7)), Some(Change::Appeared("a".into(), 1)));
        assert_eq!(list(&mut presence, &[]), ["yard a"]);
        assert_eq!(presence.announce(announcement("a", 2, &[]), at(8)), Some(Change::Restarted("a".into())));
        assert_eq!(list(&mut presence, &[]), [""; 0], "the relay is there, and does not announce it");
        assert_eq!(presence.expire(at(3608)), [Change::Away("a".into()), Change::Forgotten("a".into())]);
    }

    #[test]
    fn name_of_two_relays_belongs_to_the_one_that_has_it() {
        let (mut presence, now) = (Presence::new("x".into()), Instant::now());
        presence.announce(announcement("b", 1, &[("yard", 50)]), now);
        assert_eq!(list(&mut presence, &[]), ["yard b"]);
        presence.announce(announcement("a", 1, &[("yard", 10), ("gate", 10)]), now);
        let (listed, claims) = presence.list(&own(&[]));
        let shown: Vec<_> = listed.iter().map(|listed| (listed.name.as_str(), &*listed.relay)).collect();
        assert_eq!(shown, [("gate", "a"), ("yard", "b"), ("yard@a", "a"), ("yard@b", "b")]);
        let name = "yard".parse().unwrap();
        assert_eq!(claims, [Claim { name, holder: "b".into(), relays: vec!["a".into(), "b".into()] }]);
        assert_eq!(presence.list(&own(&[])).1, [], "the log says it once");

        // The holder is away: the other one takes the name, and keeps it.
        presence.announce(announcement("a", 1, &[("yard", 10)]), now + EXPIRES_AFTER);
        presence.expire(now + EXPIRES_AFTER);
        assert_eq!(list(&mut presence, &[]), ["yard a", "yard@a a", "yard@b b away"]);
        presence.announce(announcement("b", 2, &[("yard", 5)]), now + EXPIRES_AFTER);
        assert_eq!(list(&mut presence, &[]), ["yard a", "yard@a a", "yard@b b"]);
    }

    #[test]
    fn unheld_name_belongs_to_the_relay_that_has_announced_it_longest() {
        let (mut presence, now) = (Presence::new("x".into()), Instant::now());
        for (relay, since) in [("a", 30), ("b", 20), ("c", 20)] {
            presence.announce(announcement(relay, 1, &[("yard", since)]), now);
        }
        assert_eq!(list(&mut presence, &[]), ["yard b", "yard@a a", "yard@b b", "yard@c c"]);
    }

    #[test]
    fn own_stream_keeps_its_name() {
        let (mut presence, now) = (Presence::new("x".into()), Instant::now());
        presence.announce(announcement("a", 1, &[("yard", 1), ("gate", 1)]), now);
        let (listed, claims) = presence.list(&own(&["yard", "gate@a"]));
        let shown: Vec<_> = listed.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(shown, ["gate", "yard@a"]);
        assert_eq!((&*claims[0].holder, claims[0].relays.len()), ("x", 2));
        presence.announce(announcement("x", 9, &[("door", 1)]), now);
        assert_eq!(list(&mut presence, &[]), ["gate a", "yard a"], "its own announcement is no other relay's");
    }

    #[test]
    fn name_without_room_for_its_relay_is_listed_once() {
        let (mut presence, now) = (Presence::new("x".into()), Instant::now());
        let long = "n".repeat(StreamName::MAX_LEN);
        for relay in ["a", "b"] {
            presence.announce(announcement(relay, 1, &[(&long, 1)]), now);
        }
        assert_eq!(list(&mut presence, &[]), [format!("{long} a")]);
    }
}
