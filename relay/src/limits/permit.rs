//! Counts permits in total, per stream and per client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::stream::StreamName;

/// What a limit counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// All permits.
    Total,
    /// Permits of one stream.
    Stream(StreamName),
    /// Permits of one client, by its [`client_prefix`](crate::net::client::client_prefix).
    Client(IpAddr),
}

/// Permits in use, per scope. A scope without permits uses no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permits {
    counts: Arc<Mutex<HashMap<Scope, usize>>>,
}

/// One permit. Dropping it returns it.
#[derive(Debug)]
#[must_use = "dropping a permit returns it"]
pub(crate) struct Permit {
    counts: Arc<Mutex<HashMap<Scope, usize>>>,
    scopes: Vec<Scope>,
}

impl Permits {
    /// Takes a permit that counts in each scope of `limits`, or returns the error of the first scope that is at its limit.
    pub(crate) fn acquire<E>(&self, limits: impl IntoIterator<Item = (Scope, usize, E)>) -> Result<Permit, E> {
        let mut counts = lock(&self.counts);
        let mut scopes = Vec::new();
        for (scope, limit, error) in limits {
            if counts.get(&scope).copied().unwrap_or_default() >= limit {
                return Err(error);
            }
            scopes.push(scope);
        }
        for scope in &scopes {
            *counts.entry(scope.clone()).or_default() += 1;
        }
        Ok(Permit { counts: self.counts.clone(), scopes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        for scope in &self.scopes {
            if let Some(count) = counts.get_mut(scope) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(scope);
                }
            }
        }
    }
}

// A panic while the lock was held leaves at worst one permit too many counted.
fn lock(counts: &Mutex<HashMap<Scope, usize>>) -> MutexGuard<'_, HashMap<Scope, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Permits {
        /// Permits in use in `scope`.
        pub(crate) fn count(&self, scope: &Scope) -> usize {
            lock(&self.counts).get(scope).copied().unwrap_or_default()
        }
    }

    fn client(n: u8) -> Scope {
        Scope::Client(IpAddr::from([192, 0, 2, n]))
    }

    proptest! {
        #[test]
        fn counts_are_the_permits_in_use(clients in proptest::collection::vec(0u8..4, 0..40)) {
            let permits = Permits::default();
            let held: Vec<Permit> =
                clients.iter().map(|&n| permits.acquire([(client(n), usize::MAX, ())]).unwrap()).collect();
            for n in 0..4 {
                prop_assert_eq!(permits.count(&client(n)), clients.iter().filter(|&&other| other == n).count());
            }
            drop(held);
            prop_assert!(lock(&permits.counts).is_empty());
        }
    }

    #[test]
    fn refused_permit_counts_in_no_scope() {
        let permits = Permits::default();
        let acquire = |n| permits.acquire([(Scope::Total, 9, "total"), (client(n), 1, "client")]);
        let held = acquire(1).unwrap();
        assert_eq!(acquire(1).unwrap_err(), "client");
        assert_eq!(permits.count(&Scope::Total), 1);
        drop(held);
        assert!(acquire(1).is_ok());
    }

    #[test]
    fn limit_of_zero_refuses() {
        assert_eq!(Permits::default().acquire([(Scope::Total, 0, "total")]).unwrap_err(), "total");
    }
}
