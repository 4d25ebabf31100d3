//! Waiting out a store that is away, and saying so once.

use crate::QueueName;
use crate::chance::Chance;
use crate::error::BackendError;
use std::time::Duration;

const BASE: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    chance: Chance,
}

impl Backoff {
    pub(crate) fn new(chance: &Chance) -> Self {
        Self { failures: 0, chance: chance.clone() }
    }

    /// How long to wait before the next try.
    pub(crate) fn failed(&mut self, queue: &QueueName, operation: &str, error: &BackendError) -> Duration {
        if self.failures == 0 {
            tracing::warn!(%queue, operation, %error, "the store does not answer as it should, trying on");
        }
        let bound = BASE.saturating_mul(2u32.saturating_pow(self.failures.min(16))).min(MAX);
        self.failures = self.failures.saturating_add(1);
        self.chance.shorten(bound, 50)
    }

    pub(crate) fn succeeded(&mut self, queue: &QueueName, operation: &str) {
        if self.failures > 0 {
            tracing::info!(%queue, operation, failures = self.failures, "the store answers again");
            self.failures = 0;
        }
    }
}
