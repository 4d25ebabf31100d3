//! What a runtime says to the store about limits: before its first claim, and now and then after, for somebody may have emptied
//! the store or another deployment may have said something else.

use super::bounded::bounded;
use super::shared::Env;
use super::sync::Mutex;
use crate::QueueName;
use crate::error::BackendError;
use crate::limits::Declared;
use crate::seeded_bug;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Declaration {
    what: Declared,
    /// When the store last heard it.
    heard: Mutex<Option<Instant>>,
}

impl Declaration {
    pub(super) fn new(what: Declared) -> Self {
        Self { what, heard: Mutex::new(None) }
    }

    fn heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the store has never heard it: nothing may be claimed yet.
    pub(super) fn is_new(&self) -> bool {
        self.heard().is_none() && !seeded_bug!("claims_before_limits")
    }

    /// True if it is time to say it again.
    pub(super) fn is_due(&self) -> bool {
        self.heard().is_some_and(|at| at.elapsed() >= AGAIN)
    }

    /// Says it.
    pub(super) async fn declare(&self, env: &Env, queue: &QueueName) -> Result<(), BackendError> {
        let call = env.backend.declare(queue, &self.what);
        bounded(env.timing.call_timeout, "declare", call).await?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}
