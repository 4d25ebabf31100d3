//! Enqueues that fail because a key is taken.

use crate::clock::Tick;
use crate::keys::KeyText;
use crate::state::State;
use job_core::{JobId, KeyName, KeyTaken, NewJob, OnConflict};
use std::collections::HashMap;
use std::sync::Arc;

impl State {
    /// The first key that is taken of a job that asks for an error then. Nothing is changed.
    pub(crate) fn refused(&self, jobs: &[NewJob], now: Tick) -> Option<KeyTaken> {
        if jobs.iter().all(|job| job.on_conflict != OnConflict::Error) {
            return None;
        }
        // What the jobs before it will have taken.
        let mut requests: HashMap<Arc<KeyText>, JobId> = HashMap::new();
        let mut unique: HashMap<Arc<KeyText>, JobId> = HashMap::new();
        for job in jobs.iter().filter(|job| self.table.known(job.id).is_none()) {
            let texts = [
                job.idempotency
                    .as_ref()
                    .map(|k| (KeyName::Idempotency, KeyText::new(&k.scope, k.key.as_str()))),
                job.unique.as_ref().map(|k| (KeyName::Unique, KeyText::new(&k.scope, k.key.as_str()))),
            ];
            let holder = |name, text: &KeyText| match name {
                KeyName::Idempotency => {
                    requests.get(text).copied().or_else(|| self.keys.same_request(text, now))
                }
                KeyName::Unique => unique.get(text).copied().or_else(|| self.keys.live(text)),
            };
            let taken = texts.iter().flatten().find_map(|(name, text)| Some((*name, holder(*name, text)?)));
            if let Some((name, holder)) = taken
                && job.on_conflict == OnConflict::Error
                && holder != job.id
            {
                return Some(KeyTaken::of(job, name, holder));
            }
            for (name, text) in texts.into_iter().flatten() {
                match (name, taken.as_ref()) {
                    (KeyName::Idempotency, Some((KeyName::Idempotency, _))) | (KeyName::Unique, Some(_)) => {}
                    (KeyName::Idempotency, Some((KeyName::Unique, holder))) => {
                        let answer = if job.on_conflict.replaces() { job.id } else { *holder };
                        requests.insert(text, answer);
                    }
                    (KeyName::Idempotency, None) => drop(requests.insert(text, job.id)),
                    (KeyName::Unique, None) => drop(unique.insert(text, job.id)),
                }
            }
        }
        None
    }
}
