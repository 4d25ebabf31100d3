//! What is raised now, for whoever asks.

use super::alert::ActiveAlert;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By their keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<String, ActiveAlert>>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ActiveAlert>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list(&self) -> Vec<ActiveAlert> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn put(&self, alert: ActiveAlert) {
        self.lock().insert(alert.key.clone(), alert);
    }

    pub(super) fn take(&self, key: &str) -> Option<ActiveAlert> {
        self.lock().remove(key)
    }
}
