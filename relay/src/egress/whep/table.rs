//! The sessions, and whose a packet is. Pure: `T` is how a session is reached.
//!
//! All viewers share one port. A STUN request names the ICE user fragment that its session was given in the answer (RFC
//! 8445, section 7.2.2); everything else is known by the address that such a request came from. What a session may occupy
//! is bounded, and so is the number of sessions that nobody has connected to yet.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sightline_protocol::stream::StreamName;
use str0m::ice::StunMessage;

/// Sessions that have been answered and are not connected yet. A viewer is in that state for a fraction of a second, so
/// that more than these at a time are nobody's.
const WAITING_MAX: usize = 128;
/// Addresses that one viewer's packets come from: one for each of its networks.
const ADDRESSES_MAX: usize = 16;

/// Names a session in its URL. Whoever knows it may end it, so it cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(pub(super) u128);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for SessionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

#[derive(Debug)]
struct Entry<T> {
    stream: StreamName,
    names: Ufrags,
    addresses: VecDeque<SocketAddr>,
    connected: bool,
    reach: T,
}

/// The ICE user fragments of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ufrags {
    /// The one in the answer, unique among sessions.
    pub(super) ours: String,
    /// The one in the offer, if it has a common one.
    pub(super) theirs: Option<String>,
}

/// There are as many sessions waiting for their viewers as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Table<T> {
    sessions: HashMap<SessionId, Entry<T>>,
    by_ufrag: HashMap<String, SessionId>,
    by_address: HashMap<SocketAddr, SessionId>,
    waiting: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { sessions: HashMap::new(), by_ufrag: HashMap::new(), by_address: HashMap::new(), waiting: 0 }
    }
}

impl<T: Clone> Table<T> {
    /// Whether there is room for one more session.
    pub(super) fn has_room(&self) -> bool {
        self.waiting < WAITING_MAX
    }

    /// Adds a session that waits for its viewer.
    pub(super) fn add(&mut self, id: SessionId, stream: StreamName, names: Ufrags, reach: T) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full);
        }
        self.waiting += 1;
        self.by_ufrag.insert(names.ours.clone(), id);
        let entry = Entry { stream, names, addresses: VecDeque::new(), connected: false, reach };
        self.sessions.insert(id, entry);
        Ok(())
    }

    /// Its viewer is there.
    pub(super) fn connected(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&id)
            && !std::mem::replace(&mut entry.connected, true)
        {
            self.waiting -= 1;
        }
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.waiting -= usize::from(!entry.connected);
            self.by_ufrag.remove(&entry.names.ours);
            for address in entry.addresses {
                self.by_address.remove(&address);
            }
        }
    }

    /// How a session of that stream is reached, and its user fragments.
    pub(super) fn find(&self, id: SessionId, stream: &StreamName) -> Option<(T, &Ufrags)> {
        let entry = self.sessions.get(&id).filter(|entry| entry.stream == *stream)?;
        Some((entry.reach.clone(), &entry.names))
    }

    /// Whose the datagram from `source` is.
    pub(super) fn route(&mut self, source: SocketAddr, datagram: &[u8]) -> Option<T> {
        let id = match ufrag(datagram) {
            Some(ufrag) => {
                let id = *self.by_ufrag.get(&ufrag)?;
                self.note(id, source);
                id
            }
            None => *self.by_address.get(&source)?,
        };
        Some(self.sessions.get(&id)?.reach.clone())
    }

    /// Whose a TCP connection is that begins with `first`.
    pub(super) fn route_connection(&self, first: &[u8]) -> Option<T> {
        let id = self.by_ufrag.get(&ufrag(first)?)?;
        Some(self.sessions.get(id)?.reach.clone())
    }

    /// Packets of the session come from that address.
    fn note(&mut self, id: SessionId, source: SocketAddr) {
        let before = self.by_address.insert(source, id);
        if before == Some(id) {
            return;
        }
        if let Some(other) = before.and_then(|before| self.sessions.get_mut(&before)) {
            other.addresses.retain(|&address| address != source);
        }
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.addresses.push_back(source);
            if entry.addresses.len() > ADDRESSES_MAX
                && let Some(oldest) = entry.addresses.pop_front()
            {
                self.by_address.remove(&oldest);
            }
        }
    }
}

/// The user fragment of ours that a STUN request names; none for other packets.
fn ufrag(datagram: &[u8]) -> Option<String> {
    // RFC 7983, section 7.
    if datagram.first()? > &3 {
        return None;
    }
    let message = StunMessage::parse(datagram).ok().filter(StunMessage::is_binding_request)?;
    Some(message.split_username()?.0.to_owned())
}

#[cfg(test)]
mod tests;
