//! The sessions that outlast their request (WebSocket, events, WebRTC), each with its credential. A revoked credential ends its sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::credential::Credential;

/// See the [module](self). Clones share the sessions.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenSessions(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    open: HashMap<u64, (Credential, CancellationToken)>,
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

impl OpenSessions {
    /// Adds a session.
    pub(super) fn add(&self, credential: Credential) -> OpenSessionGuard {
        let revoked = CancellationToken::new();
        let mut registry = self.lock();
        let id = registry.next;
        registry.next += 1;
        registry.open.insert(id, (credential, revoked.clone()));
        OpenSessionGuard { sessions: self.clone(), id, revoked }
    }

    /// Ends each session without a `valid` credential. Returns their number.
    pub(super) fn end_unless(&self, valid: impl Fn(&Credential) -> bool) -> usize {
        let registry = self.lock();
        let ended = registry.open.values().filter(|(credential, _)| !valid(credential));
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
        let [first, second, third] = ["1", "1", "2"].map(|id| sessions.add(login(id)));
        assert_eq!(sessions.end_unless(|credential| *credential != login("1")), 2);
        assert!(first.revoked.is_cancelled() && second.revoked.is_cancelled() && !third.revoked.is_cancelled());
        drop((first, second, third));
        assert!(sessions.lock().open.is_empty());
    }
}
