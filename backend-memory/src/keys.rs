//! Idempotency and unique keys.

use crate::clock::Tick;
use job_core::{JobId, seeded_bug};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyText {
    pub(crate) scope: String,
    pub(crate) key: String,
}

impl KeyText {
    pub(crate) fn new(scope: &str, key: &str) -> Arc<Self> {
        Arc::new(Self { scope: scope.to_owned(), key: key.to_owned() })
    }

    pub(crate) fn joined(&self) -> String {
        format!("{}:{}", self.scope, self.key)
    }
}

#[derive(Debug)]
struct Remembered {
    job: JobId,
    until: Tick,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {
    idempotency: HashMap<Arc<KeyText>, Remembered>,
    /// When keys end; the number only tells equal instants apart.
    ends: BTreeMap<(Tick, u64), Arc<KeyText>>,
    unique: HashMap<Arc<KeyText>, JobId>,
    /// Who waits for the end of the job that holds a unique key, and when it is due then.
    next: HashMap<Arc<KeyText>, (JobId, Tick)>,
}

impl Keys {
    /// The number of idempotency keys remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.idempotency.len()
    }

    /// The job that holds the idempotency key, if one does.
    pub(crate) fn same_request(&self, key: &KeyText, now: Tick) -> Option<JobId> {
        self.idempotency.get(key).filter(|r| now < r.until).map(|r| r.job)
    }

    pub(crate) fn remember(&mut self, key: Arc<KeyText>, job: JobId, until: Tick, number: u64) {
        self.ends.insert((until, number), Arc::clone(&key));
        self.idempotency.insert(key, Remembered { job, until });
    }

    /// Forgets keys whose window is over; how many, and whether more are left.
    pub(crate) fn prune(&mut self, now: Tick, limit: usize) -> (u64, bool) {
        let mut pruned = 0;
        for _ in 0..limit {
            match self.ends.first_key_value() {
                Some((&(until, _), _)) if until <= now => {}
                _ => return (pruned, false),
            }
            let Some(((until, _), key)) = self.ends.pop_first() else { break };
            // The key may have been taken again after its window.
            if self.idempotency.get(&key).is_some_and(|r| r.until == until) {
                self.idempotency.remove(&key);
                pruned += 1;
            }
        }
        (pruned, true)
    }

    /// The live job that holds the unique key, if one does.
    pub(crate) fn live(&self, key: &KeyText) -> Option<JobId> {
        self.unique.get(key).copied()
    }

    pub(crate) fn hold(&mut self, key: Arc<KeyText>, job: JobId) {
        self.unique.insert(key, job);
    }

    /// The job that waits for the end of the one that holds the unique key, and when it is due then.
    pub(crate) fn next(&self, key: &KeyText) -> Option<(JobId, Tick)> {
        self.next.get(key).copied()
    }

    pub(crate) fn set_next(&mut self, key: Arc<KeyText>, job: JobId, due: Tick) {
        self.next.insert(key, (job, due));
    }

    /// Frees the unique key if this job holds it; the answer is who waited for that, and holds it now.
    pub(crate) fn release(&mut self, key: &KeyText, job: JobId) -> Option<(JobId, Tick)> {
        if self.next(key).is_some_and(|(next, _)| next == job) {
            self.next.remove(key);
        }
        if self.live(key) != Some(job) && !seeded_bug!("memory_key_freed_by_anybody") {
            return None;
        }
        let (key, _) = self.unique.remove_entry(key)?;
        if seeded_bug!("memory_next_forgotten") {
            return None;
        }
        let next = self.next.remove(&key)?;
        self.unique.insert(key, next.0);
        Some(next)
    }
}
