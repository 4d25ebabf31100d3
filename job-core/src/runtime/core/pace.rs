//! How often to ask the store, and for how much.

use super::QueueCore;
use std::time::Duration;
use tokio::time::Instant;

/// Work claimed ahead is at most what this process finished in this time.
pub(super) const WINDOW: Duration = Duration::from_millis(100);

/// The least time until a claim that a limit has kept jobs from is made again.
const RETRY_MIN: Duration = Duration::from_millis(1);

impl QueueCore {
    /// How long to wait before claiming although nobody said that there is something.
    pub(crate) fn next_poll(&self) -> Duration {
        if self.contended {
            return Duration::from_millis(2);
        }
        let doubled = 2u32.saturating_pow(self.idle_polls.min(16));
        let mut poll = self.config.poll_min.saturating_mul(doubled).min(self.config.poll_max);
        if self.waiting() > 0 {
            poll = poll.min(WINDOW);
        }
        // At once would be again and again, if the store's clock is a little behind.
        self.retry_in.map_or(poll, |wait| wait.max(RETRY_MIN).min(poll))
    }

    /// Follows how fast jobs end, to claim ahead what ends within [`WINDOW`].
    pub(super) fn measure(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.rate_since).as_secs_f64();
        if elapsed <= 0.0005 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let ahead = self.finished as f64 / elapsed * WINDOW.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by prefetch_max"
        )]
        let ahead = (ahead.min(self.config.prefetch_max as f64)) as usize;
        // Quick to shrink, so that a slow job does not find others waiting behind it.
        self.prefetch = if ahead < self.prefetch { ahead } else { usize::midpoint(self.prefetch, ahead) };
        self.finished = 0;
        self.rate_since = now;
    }
}
