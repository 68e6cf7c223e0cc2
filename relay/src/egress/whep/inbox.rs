//! Messages to sessions, and the table of sessions that the tasks of the port share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use str0m::Candidate;
use str0m::ice::TransId;
use str0m::net::Protocol;
use tokio::sync::mpsc;

use super::demux::{SessionDemux, SessionId};

/// Packets in an inbox: enough for a burst of reports from a viewer.
const INBOX: usize = 128;

/// A message to a session.
#[derive(Debug)]
pub(super) enum InboxMessage {
    /// A packet that names the session or comes from one of its addresses.
    Packet { protocol: Protocol, source: SocketAddr, bytes: Bytes },
    /// A TCP connection with its first packet, which names the session, and the sender of its packets. Dropping the sender
    /// closes the connection.
    Connection { source: SocketAddr, outbox: mpsc::Sender<Bytes>, first: Bytes },
    /// The viewer trickled a candidate.
    Candidate(Candidate),
    /// The viewer deleted the session.
    Delete,
    /// A newer session replaced this one, because its viewer has not connected.
    Replaced,
}

/// The sender of messages to a session.
pub(super) type Inbox = mpsc::Sender<InboxMessage>;

/// The sessions.
pub(super) type Sessions = Arc<Mutex<SessionDemux<Inbox>>>;

/// A session's inbox.
pub(super) fn inbox() -> (Inbox, mpsc::Receiver<InboxMessage>) {
    mpsc::channel(INBOX)
}

// A panic while the lock was held leaves at worst a session too many or too few, which does not disturb the others.
pub(super) fn lock(sessions: &Sessions) -> MutexGuard<'_, SessionDemux<Inbox>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session's entry in the demultiplexer. Dropping it removes the entry.
#[derive(Debug)]
pub(super) struct SessionGuard {
    pub(super) sessions: Sessions,
    pub(super) id: SessionId,
}

impl SessionGuard {
    /// Records that the viewer has connected.
    pub(super) fn connected(&self) {
        lock(&self.sessions).connected(self.id);
    }

    /// Routes packets from `source`, which has proved to be the viewer's, to this session.
    pub(super) fn note(&self, source: SocketAddr) {
        lock(&self.sessions).note(self.id, source);
    }

    /// Routes the answer to a request of this session.
    pub(super) fn expect(&self, transaction: TransId) {
        lock(&self.sessions).expect(self.id, transaction);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        lock(&self.sessions).remove(self.id);
    }
}
