//! The logins that a logout has ended before their cookies expire. A restart forgets them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of remembered logouts. Beyond it, the relay forgets the logout with the first expiry. Only browsers that have
/// logged in add one.
const MAX: usize = 10_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Logouts(Mutex<HashMap<Arc<str>, u64>>);

impl Logouts {
    /// Ends the login `id`; its cookie expires at `until`. Times are in seconds since 1970.
    pub(super) fn add(&self, id: Arc<str>, until: u64, now: u64) {
        let mut ended = self.lock();
        ended.retain(|_, until| *until > now);
        if ended.len() >= MAX
            && let Some(first) = ended.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone())
        {
            ended.remove(&first);
        }
        ended.insert(id, until);
    }

    /// Whether the login `id` has ended.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    // A panic while the lock was held leaves at worst one logout out.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logout_is_remembered_until_its_cookie_expires() {
        let logouts = Logouts::default();
        logouts.add("a".into(), 200, 100);
        assert!(logouts.contains("a") && !logouts.contains("b"));
        logouts.add("b".into(), 300, 200);
        assert!(!logouts.contains("a") && logouts.contains("b"));
    }

    #[test]
    fn remembered_logouts_are_bounded() {
        let logouts = Logouts::default();
        for n in 0..=MAX as u64 {
            logouts.add(n.to_string().into(), 1000 + n, 0);
        }
        assert_eq!(logouts.lock().len(), MAX);
        assert!(!logouts.contains("0") && logouts.contains("1"), "the one that expires first is forgotten");
    }
}
