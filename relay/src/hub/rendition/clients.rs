//! The clients with viewers of a rendition, and the clients that may not start its encoder.
//!
//! A client is the prefix by which the limits count a viewer, or `None` where that is unknown
//! ([`client_address`](crate::net::client::client_address)).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Rendition;

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// Viewers by client. A client without a viewer has no entry.
    viewers: BTreeMap<Option<IpAddr>, usize>,
    /// The clients for which the encoder was refused. Empty once another client watches.
    refused: BTreeSet<Option<IpAddr>>,
}

impl Clients {
    /// The clients, each once.
    pub fn all(&self) -> BTreeSet<Option<IpAddr>> {
        self.viewers.keys().copied().collect()
    }

    /// Whether the encoder was refused for every client that watches.
    pub fn are_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Notes that the encoder was refused for these clients.
    fn refuse(&mut self, clients: BTreeSet<Option<IpAddr>>) {
        // Another client may have come since.
        let others = self.viewers.keys().any(|client| !clients.contains(client));
        self.refused = if others { BTreeSet::new() } else { clients };
    }

    /// Adds a viewer. Returns whether it ends a refusal.
    fn add(&mut self, client: Option<IpAddr>) -> bool {
        *self.viewers.entry(client).or_default() += 1;
        let ends = self.are_refused() && !self.refused.contains(&client);
        if ends {
            self.refused.clear();
        }
        ends
    }

    fn remove(&mut self, client: Option<IpAddr>) {
        if let Some(count) = self.viewers.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.viewers.remove(&client);
            }
        }
    }
}

/// A viewer of a client. Dropping it removes the viewer.
#[derive(Debug)]
#[must_use = "dropping it removes the viewer"]
pub struct ClientGuard {
    rendition: Arc<Rendition>,
    client: Option<IpAddr>,
}

impl ClientGuard {
    pub(super) fn new(rendition: &Arc<Rendition>, client: Option<IpAddr>) -> (Self, bool) {
        let mut ends_refusal = false;
        rendition.clients.send_modify(|clients| ends_refusal = clients.add(client));
        (Self { rendition: rendition.clone(), client }, ends_refusal)
    }

    /// The client.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.rendition.clients.send_modify(|clients| clients.remove(self.client));
    }
}

impl Rendition {
    /// Ends the epoch because none of `clients` may start the encoder. The next client that watches ends the refusal. Returns
    /// whether the refusal stands: such a client may have come before it.
    pub(crate) fn refuse(&self, clients: BTreeSet<Option<IpAddr>>, status: super::Status) -> bool {
        self.clients.send_modify(|now| now.refuse(clients));
        self.fail(status);
        self.clients.borrow().are_refused()
    }

    /// Forgets a refusal, because the encoder is tried again.
    pub(crate) fn clear_refusal(&self) {
        self.clients.send_modify(|now| now.refused.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_client_ends_a_refusal() {
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        let mut clients = Clients::default();
        assert!(!clients.add(one));
        clients.refuse(clients.all());
        assert!(!clients.add(one) && clients.are_refused());
        assert!(clients.add(other) && !clients.are_refused());
        clients.refuse(BTreeSet::from([one]));
        assert!(!clients.are_refused(), "the other one came before the refusal");
        clients.remove(other);
        clients.refuse(clients.all());
        assert!(clients.add(None), "a viewer without an address is another client");
    }

    #[test]
    fn client_without_a_viewer_has_no_entry() {
        let mut clients = Clients::default();
        for _ in 0..2 {
            clients.add(None);
        }
        clients.remove(None);
        assert_eq!(clients.all(), BTreeSet::from([None]));
        clients.remove(None);
        assert!(clients.viewers.is_empty());
    }
}
