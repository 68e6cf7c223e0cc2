//! The limits that apply now. A reloaded configuration replaces them.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Limits;

/// See the [module](self). Clones share the limits.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<RwLock<Arc<Limits>>>);

impl LiveLimits {
    /// Starts with `limits`.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }

    /// The limits as they are now.
    pub fn now(&self) -> Arc<Limits> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the limits. Permits that were given before stay valid.
    pub fn set(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}
