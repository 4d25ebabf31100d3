//! Tasks that are scheduled like threads.

use std::future::Future;

/// What is needed of `tokio_util`'s: nobody waits for the tasks here but the test itself.
#[derive(Debug, Default)]
pub struct TaskTracker;

impl TaskTracker {
    /// Tracks nothing.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Runs a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }
}
