//! How many transcodes run at once. One too many makes all of them late; so it is not begun, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::InForce;

/// See the [module](self). Shared by all streams.
#[derive(Debug, Clone)]
pub struct Places {
    limits: InForce,
    taken: Arc<AtomicUsize>,
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the relay makes as many transcodes at once as limits.transcodes allows ({0}); a browser that plays the camera's own \
     codec needs none"
)]
pub(super) struct Taken(usize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    /// As many as the limits say.
    pub fn new(limits: InForce) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> Result<Place, Taken> {
        let limit = self.limits.now().transcodes;
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).map_err(|_| Taken(limit))?;
        Ok(Place(self.taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn there_are_as_many_as_the_limits_say_now() {
        let limits = InForce::new(Limits { transcodes: 2, ..Limits::default() });
        let places = Places::new(limits.clone());
        let (first, _second) = (places.take().unwrap(), places.take().unwrap());
        assert_eq!(places.take().unwrap_err(), Taken(2));
        drop(first);
        let _third = places.take().unwrap();
        limits.set(Limits { transcodes: 1, ..Limits::default() });
        assert_eq!(places.take().unwrap_err(), Taken(1));
        limits.set(Limits { transcodes: 3, ..Limits::default() });
        assert!(places.take().is_ok());
    }
}
