//! The sessions that outlast their request (WebSocket, events, WebRTC), each with its credential and what it shows. A revoked
//! credential ends its sessions. A changed rule ends the sessions that it no longer permits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::address::Address;
use sightline_protocol::stream::StreamName;
use tokio_util::sync::CancellationToken;

use super::credential::Credential;
use super::permissions::Permissions;

/// What a session shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionScope {
    /// One stream.
    Stream(StreamName),
    /// All that is permitted, such as a list of streams.
    Listing(Permissions),
}

/// The credential of a session and what it shows by it.
#[derive(Debug, Clone)]
pub(super) struct SessionGrant {
    pub(super) credential: Credential,
    pub(super) scope: SessionScope,
}

/// See the [module](self). Clones share the sessions.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenSessions(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    open: HashMap<u64, (SessionGrant, CancellationToken)>,
}

/// One session. Dropping it removes it.
#[derive(Debug)]
#[must_use = "dropping a session removes it"]
pub(super) struct OpenSessionGuard {
    sessions: OpenSessions,
    id: u64,
    /// The session's own: polling a token of many sessions would take its lock at each wake-up of each viewer.
    revoked: CancellationToken,
}

impl SessionScope {
    /// The scope of a request.
    pub(super) fn of(method: &str, path: &str, query: Option<&str>, permissions: &Permissions) -> Self {
        match Address::of_request(method, path, query) {
            Ok(address) => Self::Stream(address.stream().clone()),
            Err(_) => Self::Listing(permissions.clone()),
        }
    }

    /// Whether `permissions` permit it.
    pub(super) fn is_within(&self, permissions: &Permissions) -> bool {
        match self {
            Self::Stream(stream) => permissions.cover(stream),
            Self::Listing(shown) => permissions.include(shown),
        }
    }
}

impl OpenSessions {
    /// Adds a session.
    pub(super) fn add(&self, grant: SessionGrant) -> OpenSessionGuard {
        let revoked = CancellationToken::new();
        let mut registry = self.lock();
        let id = registry.next;
        registry.next += 1;
        registry.open.insert(id, (grant, revoked.clone()));
        OpenSessionGuard { sessions: self.clone(), id, revoked }
    }

    /// Ends each session without a `valid` grant. Returns their number.
    pub(super) fn end_unless(&self, valid: impl Fn(&SessionGrant) -> bool) -> usize {
        let registry = self.lock();
        let ended = registry.open.values().filter(|(grant, _)| !valid(grant));
        ended.map(|(_, revoked)| revoked.cancel()).count()
    }

    // A panic while the lock was held leaves at worst one session that no revocation ends.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenSessionGuard {
    /// Waits until the session's credential is revoked.
    pub(super) async fn revoked(&self) {
        self.revoked.cancelled().await;
    }
}

impl Drop for OpenSessionGuard {
    fn drop(&mut self) {
        self.sessions.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoked_credential_ends_its_sessions_and_no_other() {
        let sessions = OpenSessions::default();
        let login = |id: &str| Credential::Login { of: "a".into(), id: id.into() };
        let grant = |id| SessionGrant { credential: login(id), scope: SessionScope::Listing(Permissions::All) };
        let [first, second, third] = ["1", "1", "2"].map(|id| sessions.add(grant(id)));
        assert_eq!(sessions.end_unless(|grant| grant.credential != login("1")), 2);
        assert!(first.revoked.is_cancelled() && second.revoked.is_cancelled() && !third.revoked.is_cancelled());
        drop((first, second, third));
        assert!(sessions.lock().open.is_empty());
    }

    #[test]
    fn session_of_a_stream_needs_that_stream_and_a_listing_all_of_its_own() {
        let permissions =
            |patterns: &[&str]| patterns.iter().map(|text| text.parse().unwrap()).collect::<Permissions>();
        let (before, fewer) = (permissions(&["studio/*", "gate"]), permissions(&["studio/a", "gate"]));
        let scope = |path| SessionScope::of("GET", path, None, &before);
        for (path, stays) in
            [("/ws/mse/studio/a", true), ("/ws/mse/gate", true), ("/ws/mse/studio/b", false), ("/api/events", false)]
        {
            assert!(scope(path).is_within(&before), "{path}");
            assert_eq!(scope(path).is_within(&fewer), stays, "{path}");
        }
    }
}
