//! Whether a simulated process lives, and whether it can reach the store.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How a process is doing.
#[derive(Debug, Default)]
pub(super) struct Life {
    state: Mutex<State>,
    died: Notify,
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    stopping: bool,
    cut: Option<Cut>,
}

/// A process that is cut off from the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) until: Instant,
    /// Requests arrive, and only answers do not.
    pub(super) one_way: bool,
}

impl Life {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it does nothing that anybody can see.
    pub(super) fn kill(&self) {
        self.state().dead = true;
        self.died.notify_waiters();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub(super) async fn until_dead(&self) {
        loop {
            let died = self.died.notified();
            tokio::pin!(died);
            died.as_mut().enable();
            if self.is_dead() {
                return;
            }
            died.await;
        }
    }

    /// Asks it to come to an end by itself.
    pub(super) fn stop(&self) {
        self.state().stopping = true;
    }

    pub(super) fn is_stopping(&self) -> bool {
        let state = self.state();
        state.stopping || state.dead
    }

    /// Cuts it off, or mends that.
    pub(super) fn cut(&self, cut: Option<Cut>) {
        self.state().cut = cut;
    }

    pub(super) fn is_cut(&self) -> Option<Cut> {
        self.state().cut.filter(|cut| Instant::now() < cut.until)
    }
}
