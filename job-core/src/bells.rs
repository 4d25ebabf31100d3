//! Wake-ups inside of a process, queue by queue.

use crate::QueueName;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A bell for each queue, for backends whose [`wait`](crate::Backend::wait) is woken by something that the process hears.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use job_core::{Bells, QueueName};
///
/// let (bells, queue) = (Bells::default(), QueueName::from_static("email"));
/// bells.ring(&queue); // nobody waits: whoever waits next is woken at once
/// bells.wait(&queue).await;
/// # }
/// ```
#[derive(Default)]
pub struct Bells(Mutex<HashMap<QueueName, Arc<Bell>>>);

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Bell {
    notify: Notify,
    waiting: AtomicUsize,
}

impl Bell {
    fn ring(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.notify.notify_waiters();
        } else {
            // Whoever waits next is woken at once.
            self.notify.notify_one();
        }
    }
}

/// Counts a caller of `wait` out again, also when its future is dropped.
struct Waiting<'a>(&'a Bell);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bells {
    fn bell(&self, queue: &QueueName) -> Arc<Bell> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(queue.clone()).or_default())
    }

    /// Wakes everybody who waits for this queue, or the next one to wait if nobody does.
    pub fn ring(&self, queue: &QueueName) {
        self.bell(queue).ring();
    }

    /// Rings for every queue that anybody has waited or rung for.
    pub fn ring_all(&self) {
        let bells: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        for bell in bells {
            bell.ring();
        }
    }

    /// Returns when somebody rings for this queue.
    pub async fn wait(&self, queue: &QueueName) {
        let bell = self.bell(queue);
        bell.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&bell);
        bell.notify.notified().await;
    }
}
