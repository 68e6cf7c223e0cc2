//! What way worked for Auto on which network, so that a page does not find it out anew each time it is opened. Pure: a text
//! in, a text out.
//!
//! A page is told nothing of the network it is on. What it knows is the relay's address and, in some browsers, by what kind
//! of connection it gets there; that has to do for a name.

use serde::{Deserialize, Serialize};

use crate::state::Protocol;

/// Networks that are remembered, at most: the latest.
const NETWORKS_MAX: usize = 16;

/// See the module. Only a way that was not the best is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Memory(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    network: String,
    way: Protocol,
}

impl Memory {
    /// Reads what was kept, as far as it can be understood.
    pub(super) fn read(kept: &str) -> Self {
        let values: Vec<serde_json::Value> = serde_json::from_str(kept).unwrap_or_default();
        let mut entries: Vec<_> = values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        entries.drain(..entries.len().saturating_sub(NETWORKS_MAX));
        Self(entries)
    }

    /// The text to keep.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The way that worked on a network where the best did not.
    pub(super) fn way(&self, network: &str) -> Option<Protocol> {
        self.0.iter().find(|entry| entry.network == network).map(|entry| entry.way)
    }

    /// This way works on that network; with none, the best one does. Tells whether that is news.
    pub(super) fn learn(&mut self, network: &str, way: Option<Protocol>) -> bool {
        if self.way(network) == way {
            return false;
        }
        self.0.retain(|entry| entry.network != network);
        self.0.extend(way.map(|way| Entry { network: network.to_owned(), way }));
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
        assert!(memory.learn("office", Some(Protocol::Hls)));
        assert!(!memory.learn("office", Some(Protocol::Hls)), "nothing new");
        assert!(memory.learn("cellular", Some(Protocol::WebRtc)));
        let mut memory = Memory::read(&memory.to_json());
        assert_eq!([memory.way("office"), memory.way("home")], [Some(Protocol::Hls), None]);
        assert!(memory.learn("office", None) && memory.way("office").is_none());
        assert_eq!(memory.way("cellular"), Some(Protocol::WebRtc));
    }

    #[test]
    fn nonsense_costs_nothing_else_and_the_oldest_go() {
        assert_eq!(Memory::read("{{{"), Memory::default());
        let kept = r#"[7, {"network":"a","way":"pigeon"}, {"network":"b","way":"hls"}]"#;
        assert_eq!(Memory::read(kept).way("b"), Some(Protocol::Hls));
        let mut memory = Memory::default();
        for n in 0..40 {
            memory.learn(&n.to_string(), Some(Protocol::Hls));
        }
        assert_eq!([memory.way("23"), memory.way("24")], [None, Some(Protocol::Hls)]);
        assert_eq!(Memory::read(&memory.to_json()), memory);
    }
}
