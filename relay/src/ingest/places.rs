//! How many transcodes run at once. One too many makes all of them late; so it is not begun, and says so.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the [module](self). Shared by all streams.
#[derive(Debug, Clone)]
pub struct Places {
    limit: usize,
    free: Arc<Semaphore>,
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the relay makes as many transcodes at once as limits.transcodes allows ({0}); a browser that plays the camera's own \
     codec needs none"
)]
pub(super) struct Taken(usize);

impl Places {
    /// So many.
    pub fn new(limit: usize) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(limit)) }
    }

    /// Takes one, if there is one, until it is dropped.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, Taken> {
        self.free.clone().try_acquire_owned().map_err(|_| Taken(self.limit))
    }
}
