//! Stores per network which protocol worked for Auto, so that a new page does not repeat the search. Pure: a text in, a text
//! out.
//!
//! A page cannot identify its network. It knows the relay's address and, in some browsers, the kind of connection; the two
//! together name the network.

use serde::{Deserialize, Serialize};

use crate::state::Protocol;

/// Maximum number of stored networks. When full, the oldest is dropped.
const NETWORKS_MAX: usize = 16;

/// Age at which an entry expires: by then a better protocol may work.
const DAY_MS: f64 = 24.0 * 3600.0 * 1000.0;

/// See the module. Only a protocol other than the best is stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct LearnedProtocols(Vec<LearnedEntry>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LearnedEntry {
    network: String,
    protocol: Protocol,
    /// When the entry was stored, in milliseconds since 1970.
    since: f64,
}

impl LearnedProtocols {
    /// Parses the stored text and skips invalid entries.
    pub(super) fn read(kept: &str) -> Self {
        let values: Vec<serde_json::Value> = serde_json::from_str(kept).unwrap_or_default();
        let mut entries: Vec<_> = values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        entries.drain(..entries.len().saturating_sub(NETWORKS_MAX));
        Self(entries)
    }

    /// The text to store.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The protocol that worked on a network in the last day where the best did not; `now` in milliseconds since 1970.
    pub(super) fn protocol(&self, network: &str, now: f64) -> Option<Protocol> {
        let fresh = |entry: &&LearnedEntry| (0.0..DAY_MS).contains(&(now - entry.since));
        self.0.iter().find(|entry| entry.network == network).filter(fresh).map(|entry| entry.protocol)
    }

    /// Stores the protocol that works on a network; none means that the best works. Returns whether that changes an entry.
    pub(super) fn learn(&mut self, network: &str, protocol: Option<Protocol>, now: f64) -> bool {
        if self.protocol(network, now) == protocol {
            return false;
        }
        self.0.retain(|entry| entry.network != network);
        self.0.extend(protocol.map(|protocol| LearnedEntry { network: network.to_owned(), protocol, since: now }));
        let surplus = self.0.len().saturating_sub(NETWORKS_MAX);
        self.0.drain(..surplus);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_protocol_lasts_until_the_best_works() {
        let mut learned_protocols = LearnedProtocols::default();
        assert!(learned_protocols.learn("office", Some(Protocol::Hls), 1.0));
        assert!(!learned_protocols.learn("office", Some(Protocol::Hls), 2.0), "nothing new");
        assert!(learned_protocols.learn("cellular", Some(Protocol::WebRtc), 3.0));
        let mut learned_protocols = LearnedProtocols::read(&learned_protocols.to_json());
        assert_eq!(
            [learned_protocols.protocol("office", 4.0), learned_protocols.protocol("home", 4.0)],
            [Some(Protocol::Hls), None]
        );
        assert!(learned_protocols.learn("office", None, 5.0) && learned_protocols.protocol("office", 5.0).is_none());
        assert_eq!(learned_protocols.protocol("cellular", 5.0), Some(Protocol::WebRtc));
    }

    #[test]
    fn learned_protocol_expires_after_a_day() {
        let mut learned_protocols = LearnedProtocols::default();
        learned_protocols.learn("office", Some(Protocol::Hls), 0.0);
        assert_eq!(learned_protocols.protocol("office", DAY_MS - 1.0), Some(Protocol::Hls));
        assert_eq!(learned_protocols.protocol("office", DAY_MS), None);
        assert_eq!(learned_protocols.protocol("office", -1.0), None, "the clock has been set back");
        assert!(learned_protocols.learn("office", Some(Protocol::Hls), DAY_MS), "still so, for another day");
        assert_eq!(learned_protocols.protocol("office", DAY_MS + 1.0), Some(Protocol::Hls));
    }

    #[test]
    fn invalid_entries_are_skipped_and_the_oldest_dropped() {
        assert_eq!(LearnedProtocols::read("{{{"), LearnedProtocols::default());
        let kept = r#"[7, {"network":"a","protocol":"pigeon","since":0}, {"network":"b","protocol":"hls","since":0}]"#;
        assert_eq!(LearnedProtocols::read(kept).protocol("b", 1.0), Some(Protocol::Hls));
        let mut learned_protocols = LearnedProtocols::default();
        for n in 0..40 {
            learned_protocols.learn(&n.to_string(), Some(Protocol::Hls), 0.0);
        }
        assert_eq!(
            [learned_protocols.protocol("23", 1.0), learned_protocols.protocol("24", 1.0)],
            [None, Some(Protocol::Hls)]
        );
        assert_eq!(LearnedProtocols::read(&learned_protocols.to_json()), learned_protocols);
    }
}
