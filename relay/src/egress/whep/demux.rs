//! The sessions, and the session of each packet. Pure: `T` is the way to inbox a session.
//!
//! All viewers share one port. A STUN request names the ICE user fragment of its session's answer (RFC 8445, section 7.2.2).
//! Other packets are matched by the source address of such a request. Each session's memory is limited, and so is the number of
//! sessions without a connected viewer.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sightline_protocol::stream::StreamName;
use str0m::ice::StunMessage;

/// Maximum number of sessions without a connected viewer. A viewer connects within a fraction of a second, so more than these
/// are abandoned.
const UNCONNECTED_MAX: usize = 128;
/// Maximum number of source addresses per viewer: one per network.
const ADDRESSES_MAX: usize = 16;

/// Identifies a session in its URL. The id allows ending the session, so it is unguessable.
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
    inbox: T,
}

/// The ICE user fragments of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ufrags {
    /// The one in the answer, unique among sessions.
    pub(super) ours: String,
    /// The one in the offer, if all its sections share one.
    pub(super) theirs: Option<String>,
}

/// The number of sessions without a connected viewer is at its limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct SessionDemux<T> {
    sessions: HashMap<SessionId, Entry<T>>,
    by_ufrag: HashMap<String, SessionId>,
    by_address: HashMap<SocketAddr, SessionId>,
    waiting: usize,
}

impl<T> Default for SessionDemux<T> {
    fn default() -> Self {
        Self { sessions: HashMap::new(), by_ufrag: HashMap::new(), by_address: HashMap::new(), waiting: 0 }
    }
}

impl<T: Clone> SessionDemux<T> {
    /// Whether another session can be added.
    pub(super) fn has_room(&self) -> bool {
        self.waiting < UNCONNECTED_MAX
    }

    /// Adds a session without a connected viewer.
    pub(super) fn add(&mut self, id: SessionId, stream: StreamName, names: Ufrags, inbox: T) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full);
        }
        self.waiting += 1;
        self.by_ufrag.insert(names.ours.clone(), id);
        let entry = Entry { stream, names, addresses: VecDeque::new(), connected: false, inbox };
        self.sessions.insert(id, entry);
        Ok(())
    }

    /// Records that the viewer has connected.
    pub(super) fn connected(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&id)
            && !std::mem::replace(&mut entry.connected, true)
        {
            self.waiting -= 1;
        }
    }

    /// Removes a session.
    pub(super) fn remove(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.waiting -= usize::from(!entry.connected);
            self.by_ufrag.remove(&entry.names.ours);
            for address in entry.addresses {
                self.by_address.remove(&address);
            }
        }
    }

    /// The inbox of a session of that stream, and its user fragments.
    pub(super) fn find(&self, id: SessionId, stream: &StreamName) -> Option<(T, &Ufrags)> {
        let entry = self.sessions.get(&id).filter(|entry| entry.stream == *stream)?;
        Some((entry.inbox.clone(), &entry.names))
    }

    /// The session of the datagram from `source`.
    pub(super) fn route(&mut self, source: SocketAddr, datagram: &[u8]) -> Option<T> {
        let id = match ufrag(datagram) {
            Some(ufrag) => {
                let id = *self.by_ufrag.get(&ufrag)?;
                self.note(id, source);
                id
            }
            None => *self.by_address.get(&source)?,
        };
        Some(self.sessions.get(&id)?.inbox.clone())
    }

    /// The session of a TCP connection with the first packet `first`.
    pub(super) fn route_connection(&self, first: &[u8]) -> Option<T> {
        let id = self.by_ufrag.get(&ufrag(first)?)?;
        Some(self.sessions.get(id)?.inbox.clone())
    }

    /// Records a source address of the session's packets.
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

/// The relay's user fragment in a STUN request. `None` for other packets.
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
