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

    /// Frees the unique key if this job holds it.
    pub(crate) fn release(&mut self, key: &KeyText, job: JobId) {
        if self.live(key) == Some(job) || seeded_bug!("memory_key_freed_by_anybody") {
            self.unique.remove(key);
        }
    }
}
