//! The interest of other relays in renditions of this one. An interest that is not renewed expires. Pure: reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long an interest counts. Relays renew it every two seconds: two renewals may be lost.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_secs(6);

/// See the [module](self). Keys are renditions.
#[derive(Debug)]
pub(super) struct Interests<K> {
    relays: BTreeMap<K, BTreeMap<String, Instant>>,
}

impl<K> Default for Interests<K> {
    fn default() -> Self {
        Self { relays: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Interests<K> {
    /// Notes that `relay` is interested in `key` at `now`.
    pub(super) fn renew(&mut self, key: K, relay: String, now: Instant) {
        self.relays.entry(key).or_default().insert(relay, now + EXPIRES_AFTER);
    }

    /// Notes that `relay` is not interested in `key` any more. Returns whether none is now.
    pub(super) fn end(&mut self, key: &K, relay: &str) -> bool {
        let Some(relays) = self.relays.get_mut(key) else { return false };
        relays.remove(relay);
        let is_last = relays.is_empty();
        if is_last {
            self.relays.remove(key);
        }
        is_last
    }

    /// Ends the interests that have expired at `now`. Returns the keys in which no relay is interested any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<K> {
        self.relays.values_mut().for_each(|relays| relays.retain(|_, expires| *expires > now));
        let ended = self.relays.iter().filter(|(_, relays)| relays.is_empty()).map(|(key, _)| key.clone());
        let ended: Vec<K> = ended.collect();
        ended.iter().for_each(|key| drop(self.relays.remove(key)));
        ended
    }

    /// The number of interests.
    pub(super) fn count(&self) -> usize {
        self.relays.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_ends_with_the_last_relay() {
        let (mut interests, now) = (Interests::default(), Instant::now());
        for relay in ["a", "b"] {
            interests.renew("yard", relay.into(), now);
        }
        assert_eq!(interests.count(), 2);
        assert!(!interests.end(&"yard", "a") && !interests.end(&"yard", "a") && !interests.end(&"gate", "a"));
        assert!(interests.end(&"yard", "b") && interests.count() == 0);
        assert!(!interests.end(&"yard", "b"));
    }

    #[test]
    fn interest_expires_unless_it_is_renewed() {
        let (mut interests, now) = (Interests::default(), Instant::now());
        interests.renew("yard", "a".into(), now);
        interests.renew("yard", "b".into(), now);
        interests.renew("gate", "a".into(), now);
        interests.renew("yard", "b".into(), now + Duration::from_secs(2));
        assert!(interests.expire(now + Duration::from_secs(5)).is_empty());
        assert_eq!(interests.expire(now + EXPIRES_AFTER), ["gate"]);
        assert_eq!(interests.count(), 1);
        assert_eq!(interests.expire(now + Duration::from_secs(8)), ["yard"]);
    }
}
