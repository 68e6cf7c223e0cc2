//! The sessions, and the session of each packet. Pure: `T` is the inbox of a session.
//!
//! All viewers share one port. Routing a packet changes nothing, because any sender can forge one:
//!
//! | packet | its session |
//! | --- | --- |
//! | STUN request | names the ICE user fragment of its answer (RFC 8445, section 7.2.2) |
//! | STUN response | has sent a request with its transaction id ([`expect`](SessionDemux::expect)) |
//! | other | owns the source address, which has answered such a request ([`note`](SessionDemux::note)) |
//!
//! Each session's memory is limited, and so is the number of sessions without a connected viewer ([`Waiting`]).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use sightline_protocol::stream::StreamName;
use str0m::ice::{StunMessage, TransId};
use tokio::time::Instant;

use super::stun;
use waiting::{Room, Waiting};

mod waiting;

/// Maximum number of source addresses per viewer: one per network.
const ADDRESSES_MAX: usize = 16;
/// Maximum number of unanswered requests per session: several for each address.
const TRANSACTIONS_MAX: usize = 64;

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
    transactions: VecDeque<TransId>,
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

/// Too many sessions wait for their viewer to connect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct SessionDemux<T> {
    sessions: HashMap<SessionId, Entry<T>>,
    by_ufrag: HashMap<String, SessionId>,
    by_transaction: HashMap<TransId, SessionId>,
    by_address: HashMap<SocketAddr, SessionId>,
    waiting: Waiting,
}

impl<T> Default for SessionDemux<T> {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_transaction: HashMap::new(),
            by_address: HashMap::new(),
            waiting: Waiting::default(),
        }
    }
}

impl<T: Clone> SessionDemux<T> {
    /// Whether a session of `client` can be added.
    pub(super) fn has_room(&self, client: Option<IpAddr>, now: Instant) -> bool {
        self.waiting.room(client, now) != Room::Full
    }

    /// Adds a session of `client` without a connected viewer. Returns the inbox of the session that it replaces.
    pub(super) fn add(
        &mut self,
        id: SessionId,
        stream: StreamName,
        names: Ufrags,
        client: Option<IpAddr>,
        inbox: T,
        now: Instant,
    ) -> Result<Option<T>, Full> {
        let replaced = match self.waiting.room(client, now) {
            Room::Full => return Err(Full),
            Room::Replace(oldest) => self.remove(oldest),
            Room::Free => None,
        };
        self.waiting.add(id, client, now);
        self.by_ufrag.insert(names.ours.clone(), id);
        let (addresses, transactions) = (VecDeque::new(), VecDeque::new());
        self.sessions.insert(id, Entry { stream, names, addresses, transactions, inbox });
        Ok(replaced)
    }

    /// Records that the viewer has connected.
    pub(super) fn connected(&mut self, id: SessionId) {
        self.waiting.remove(id);
    }

    /// Removes a session. Returns its inbox.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<T> {
        let entry = self.sessions.remove(&id)?;
        self.waiting.remove(id);
        self.by_ufrag.remove(&entry.names.ours);
        for address in entry.addresses {
            self.by_address.remove(&address);
        }
        for transaction in entry.transactions {
            self.by_transaction.remove(&transaction);
        }
        Some(entry.inbox)
    }

    /// The inbox of a session of that stream, and its user fragments.
    pub(super) fn find(&self, id: SessionId, stream: &StreamName) -> Option<(T, &Ufrags)> {
        let entry = self.sessions.get(&id).filter(|entry| entry.stream == *stream)?;
        Some((entry.inbox.clone(), &entry.names))
    }

    /// The session of the datagram from `source`.
    pub(super) fn route(&self, source: SocketAddr, datagram: &[u8]) -> Option<T> {
        let id = match Key::of(datagram) {
            Key::Ufrag(ufrag) => self.by_ufrag.get(&ufrag)?,
            Key::Transaction(transaction) => self.by_transaction.get(&transaction)?,
            Key::Address => self.by_address.get(&source)?,
        };
        Some(self.sessions.get(id)?.inbox.clone())
    }

    /// The session of a TCP connection with the first packet `first`.
    pub(super) fn route_connection(&self, first: &[u8]) -> Option<T> {
        let Key::Ufrag(ufrag) = Key::of(first) else { return None };
        Some(self.sessions.get(self.by_ufrag.get(&ufrag)?)?.inbox.clone())
    }

    /// Routes the response to a request of this session.
    pub(super) fn expect(&mut self, id: SessionId, transaction: TransId) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        self.by_transaction.insert(transaction, id);
        entry.transactions.push_back(transaction);
        if entry.transactions.len() > TRANSACTIONS_MAX
            && let Some(oldest) = entry.transactions.pop_front()
        {
            self.by_transaction.remove(&oldest);
        }
    }

    /// Routes packets from `source` to this session. The address has answered a request, which proves that the viewer
    /// receives packets there.
    pub(super) fn note(&mut self, id: SessionId, source: SocketAddr) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let before = self.by_address.insert(source, id);
        if before == Some(id) {
            return;
        }
        entry.addresses.push_back(source);
        if entry.addresses.len() > ADDRESSES_MAX
            && let Some(oldest) = entry.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
        }
        if let Some(other) = before.and_then(|before| self.sessions.get_mut(&before)) {
            other.addresses.retain(|&address| address != source);
        }
    }
}

/// What names the session of a packet.
enum Key {
    /// The relay's user fragment in a STUN request.
    Ufrag(String),
    /// The transaction of a STUN response.
    Transaction(TransId),
    /// Nothing but its source address.
    Address,
}

impl Key {
    fn of(packet: &[u8]) -> Self {
        let message = Some(packet).filter(|packet| stun::is_stun(packet)).and_then(|it| StunMessage::parse(it).ok());
        match message {
            Some(message) if message.is_binding_request() => {
                message.split_username().map_or(Self::Address, |(ours, _)| Self::Ufrag(ours.to_owned()))
            }
            Some(message) if message.is_successful_binding_response() => Self::Transaction(message.trans_id()),
            _ => Self::Address,
        }
    }
}

#[cfg(test)]
mod tests;
