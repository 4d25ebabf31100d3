//! When the rarer parts of maintenance are due.

use job_core::{QueueName, seeded_bug};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a queue is looked through for rows that no claim would find.
const AUDIT_EVERY: Duration = Duration::from_secs(10);

/// How often old records of a queue are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

/// And how many times as long as that took: while a snapshot is held, what was deleted is read again each time.
const PRUNE_SHARE: u32 = 20;

/// When the ends in batches are counted for another queue than before: about two rounds of maintenance.
const COUNT_ELSEWHERE: Duration = Duration::from_secs(1);

/// What maintenance has done in this process.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    queues: Mutex<HashMap<QueueName, Done>>,
    /// For which queue the ends in batches were counted last, and when.
    counted: Mutex<Option<(QueueName, Instant)>>,
}

#[derive(Debug, Clone, Copy)]
struct Done {
    audited: Instant,
    pruned: Instant,
    prune_wait: Duration,
}

/// A prune, which ends when this is dropped: with its answer, or because the caller waits no longer.
pub(crate) struct Pruning<'a> {
    chores: &'a Chores,
    queue: &'a QueueName,
    began: Instant,
    /// There is more to prune.
    pub(crate) full: bool,
}

impl Drop for Pruning<'_> {
    fn drop(&mut self) {
        let share = if self.full { 1 } else { PRUNE_SHARE };
        if let Some(last) = lock(&self.chores.queues).get_mut(self.queue) {
            last.prune_wait = PRUNE_EVERY.max(self.began.elapsed() * share);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two states under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chores {
    /// Whether an audit of this queue is due, and a prune.
    pub(crate) fn due(&self, queue: &QueueName) -> (bool, bool) {
        let now = Instant::now();
        let mut queues = lock(&self.queues);
        let Some(last) = queues.get_mut(queue) else {
            queues.insert(queue.clone(), Done { audited: now, pruned: now, prune_wait: PRUNE_EVERY });
            return (true, true);
        };
        let due = (now >= last.audited + AUDIT_EVERY, now >= last.pruned + last.prune_wait);
        if due.0 {
            last.audited = now;
        }
        if due.1 {
            last.pruned = now;
        }
        due
    }

    /// A prune of this queue begins.
    pub(crate) fn prune<'a>(&'a self, queue: &'a QueueName) -> Pruning<'a> {
        Pruning { chores: self, queue, began: Instant::now(), full: false }
    }

    /// Whether maintenance of this queue counts the ends in batches. Batches belong to no queue, so one queue does it for all, in
    /// every round; another takes over once that one is not maintained any more.
    pub(crate) fn counts_ends(&self, queue: &QueueName) -> bool {
        let now = Instant::now();
        let mut counted = lock(&self.counted);
        let counts = counted.as_ref().is_none_or(|(last, at)| {
            let left = now >= *at + COUNT_ELSEWHERE && !seeded_bug!("postgres_one_queue_counts_ends");
            last == queue || left
        });
        if counts {
            *counted = Some((queue.clone(), now));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_done_less_often() {
        let queue = QueueName::from_static("a");
        let chores = Chores::default();
        let prune = async |full| {
            assert!(chores.due(&queue).1);
            let mut pruning = chores.prune(&queue);
            pruning.full = full;
            tokio::time::advance(Duration::from_secs(1)).await;
        };
        prune(false).await;
        tokio::time::advance(Duration::from_secs(18)).await;
        assert!(!chores.due(&queue).1, "19 s since it began, which was 20 times as long as it took");
        tokio::time::advance(Duration::from_secs(1)).await;
        prune(true).await;
        tokio::time::advance(PRUNE_EVERY).await;
        assert!(chores.due(&queue).1, "there is more");
    }

    #[tokio::test(start_paused = true)]
    async fn one_queue_counts_for_all_until_it_is_gone() {
        let (a, b) = (QueueName::from_static("a"), QueueName::from_static("b"));
        let chores = Chores::default();
        let round = || [&a, &b].map(|queue| chores.counts_ends(queue));
        for _ in 0..10 {
            assert_eq!(round(), [true, false]);
            tokio::time::advance(COUNT_ELSEWHERE / 2).await;
        }
        assert!(!chores.counts_ends(&b), "the other one was there half a second ago");
        tokio::time::advance(COUNT_ELSEWHERE / 2).await;
        assert!(chores.counts_ends(&b));
        assert_eq!(round(), [false, true]);
    }
}
