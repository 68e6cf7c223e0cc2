//! The subjects that no rule permits, so that the log names each of them once: a page repeats its requests.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

/// Maximum number of remembered subjects, of 8 bytes each. Beyond it, all are forgotten and the log names them again. Only people
/// that the provider has signed in are among them.
const MAX: usize = 4096;

/// See the [module](self).
#[derive(Debug, Default)]
pub(in crate::access) struct RefusedSubjects {
    hasher: RandomState,
    named: Mutex<HashSet<u64>>,
}

impl RefusedSubjects {
    /// Whether `subject` is refused for the first time. All tokens without a subject are one.
    pub(in crate::access) fn is_new(&self, subject: Option<&str>) -> bool {
        // A panic while the lock was held leaves at worst one subject out.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MAX {
            named.clear();
        }
        named.insert(self.hasher.hash_one(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_new_once_and_memory_is_bounded() {
        let subjects = RefusedSubjects::default();
        assert!(subjects.is_new(Some("a")) && subjects.is_new(None) && subjects.is_new(Some("")));
        assert!(!subjects.is_new(Some("a")) && !subjects.is_new(None));
        for n in 0..MAX * 2 {
            subjects.is_new(Some(&n.to_string()));
        }
        assert!(subjects.named.lock().unwrap().len() <= MAX);
    }
}
