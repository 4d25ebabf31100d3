//! The job that does nothing, so that only the runtime is measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use steadfast::{JobResult, State, job};
use tokio::sync::Notify;

/// The queue of [`noop`].
pub(crate) const QUEUE: steadfast::QueueName = steadfast::QueueName::from_static("bench");

/// How many jobs have run, and who waits for the last.
#[derive(Debug, Default)]
pub(crate) struct Count {
    left: AtomicUsize,
    zero: Notify,
}

impl Count {
    /// Waits for this many.
    #[must_use]
    pub(crate) fn of(jobs: usize) -> Self {
        Self { left: AtomicUsize::new(jobs), zero: Notify::new() }
    }

    /// One has run.
    pub(crate) fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.zero.notify_one();
        }
    }

    /// Returns when all have run.
    pub(crate) async fn all(&self) {
        self.zero.notified().await;
    }
}

/// Counts itself.
#[job(queue = "bench")]
pub(crate) async fn noop(data: String, State(count): State<Count>) -> JobResult {
    // The arguments are decoded whether or not they are used; this keeps the compiler from knowing.
    std::hint::black_box(&data);
    count.one();
    Ok(())
}
