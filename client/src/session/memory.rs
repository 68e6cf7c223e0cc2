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
pub(super) struct Memory(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    network: String,
    way: Protocol,
    /// When the entry was stored, in milliseconds since 1970.
    since: f64,
}

impl Memory {
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
    pub(super) fn way(&self, network: &str, now: f64) -> Option<Protocol> {
        let fresh = |entry: &&Entry| (0.0..DAY_MS).contains(&(now - entry.since));
        self.0.iter().find(|entry| entry.network == network).filter(fresh).map(|entry| entry.way)
    }

    /// Stores the protocol that works on a network; none means that the best works. Returns whether that changes an entry.
    pub(super) fn learn(&mut self, network: &str, way: Option<Protocol>, now: f64) -> bool {
        if self.way(network, now) == way {
            return false;
        }
        self.0.retain(|entry| entry.network != network);
        self.0.extend(way.map(|way| Entry { network: network.to_owned(), way, since: now }));
        let surplus = self.0.len().saturating_sub(NETWORKS_MAX);
        self.0.drain(..surplus);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_known_again_until_the_best_way_works_there() {
        let mut memory = Memory::default();
        assert!(memory.learn("office", Some(Protocol::Hls), 1.0));
        assert!(!memory.learn("office", Some(Protocol::Hls), 2.0), "nothing new");
        assert!(memory.learn("cellular", Some(Protocol::WebRtc), 3.0));
        let mut memory = Memory::read(&memory.to_json());
        assert_eq!([memory.way("office", 4.0), memory.way("home", 4.0)], [Some(Protocol::Hls), None]);
        assert!(memory.learn("office", None, 5.0) && memory.way("office", 5.0).is_none());
        assert_eq!(memory.way("cellular", 5.0), Some(Protocol::WebRtc));
    }

    #[test]
    fn after_a_day_everything_is_tried_anew() {
        let mut memory = Memory::default();
        memory.learn("office", Some(Protocol::Hls), 0.0);
        assert_eq!(memory.way("office", DAY_MS - 1.0), Some(Protocol::Hls));
        assert_eq!(memory.way("office", DAY_MS), None);
        assert_eq!(memory.way("office", -1.0), None, "the clock has been set back");
        assert!(memory.learn("office", Some(Protocol::Hls), DAY_MS), "still so, for another day");
        assert_eq!(memory.way("office", DAY_MS + 1.0), Some(Protocol::Hls));
    }

    #[test]
    fn nonsense_costs_nothing_else_and_the_oldest_go() {
        assert_eq!(Memory::read("{{{"), Memory::default());
        let kept = r#"[7, {"network":"a","way":"pigeon","since":0}, {"network":"b","way":"hls","since":0}]"#;
        assert_eq!(Memory::read(kept).way("b", 1.0), Some(Protocol::Hls));
        let mut memory = Memory::default();
        for n in 0..40 {
            memory.learn(&n.to_string(), Some(Protocol::Hls), 0.0);
        }
        assert_eq!([memory.way("23", 1.0), memory.way("24", 1.0)], [None, Some(Protocol::Hls)]);
        assert_eq!(Memory::read(&memory.to_json()), memory);
    }
}
