//! How a runtime works on one queue.

use crate::limits::Limit;
use std::time::Duration;

/// How a runtime works on one queue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Queue {
    pub(super) concurrency: usize,
    pub(super) prefetch_max: usize,
    pub(super) keep_completed: Option<Duration>,
    pub(super) dead_kept: Option<Duration>,
    pub(super) limit: Option<Limit>,
}

impl Queue {
    /// The least that [`dead_kept`](Self::dead_kept) may be: 24 h, so that somebody has had a working day to look.
    pub const DEAD_KEPT_MIN: Duration = Duration::from_secs(24 * 60 * 60);

    /// At most this many handlers at once in this process.
    #[must_use]
    pub fn concurrency(limit: usize) -> Self {
        Self { concurrency: limit, ..Self::default() }
    }

    /// The most jobs claimed ahead of free handlers, 2,000 unless set; 0 turns it off. The runtime claims ahead only
    /// what it expects to finish within 100 ms, so slow jobs are never held back from other workers.
    #[must_use]
    pub fn prefetch_max(mut self, jobs: usize) -> Self {
        self.prefetch_max = jobs;
        self
    }

    /// Limits all jobs of the queue together, over all processes: how many run at one time, or are claimed in a time. Beside it
    /// each process has its own [`concurrency`](Self::concurrency).
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Keeps the jobs that this process completes, to be looked at for this long; then the store deletes them. Not kept
    /// unless set, for it makes a completion several times as costly. A type of job may say so for itself with
    /// `#[job(keep = "7d")]`; the longer time counts.
    #[must_use]
    pub fn keep_completed(mut self, period: Duration) -> Self {
        self.keep_completed = Some(period);
        self
    }

    /// Removes jobs that have been dead for longer than this, with their errors and notes, for good; a WARN says how many.
    /// They are kept for ever unless set. Every process that works on the queue does this, so where they differ the shortest
    /// time counts. `build()` refuses less than [`DEAD_KEPT_MIN`](Self::DEAD_KEPT_MIN).
    #[must_use]
    pub fn dead_kept(mut self, time: Duration) -> Self {
        self.dead_kept = Some(time);
        self
    }
}

impl Default for Queue {
    /// 32 handlers at once.
    fn default() -> Self {
        Self { concurrency: 32, prefetch_max: 2_000, keep_completed: None, dead_kept: None, limit: None }
    }
}
