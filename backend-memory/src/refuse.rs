//! Enqueues that fail because a key is taken.

use crate::clock::Tick;
use crate::keys::KeyText;
use crate::replace::Turn;
use crate::state::State;
use job_core::{JobId, KeyName, KeyTaken, NewJob, OnConflict};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the jobs of a batch will have taken.
#[derive(Default)]
struct Ahead<'a> {
    requests: HashMap<Arc<KeyText>, JobId>,
    unique: HashMap<Arc<KeyText>, &'a NewJob>,
    /// Keys for which one waits behind the job that has them.
    behind: HashSet<Arc<KeyText>>,
}

impl State {
    /// The first key that is taken of a job that asks for an error then. Nothing is changed.
    pub(crate) fn refused(&self, jobs: &[NewJob], now: Tick) -> Option<KeyTaken> {
        if jobs.iter().all(|job| job.on_conflict != OnConflict::Error) {
            return None;
        }
        let mut ahead = Ahead::default();
        let mut seen = HashSet::new();
        let new = jobs.iter().filter(|job| self.table.known(job.id).is_none());
        new.filter(|job| seen.insert(job.id)).find_map(|job| self.look_ahead(&mut ahead, job, now))
    }

    /// Goes on by one job, unless it is refused.
    fn look_ahead<'a>(&self, ahead: &mut Ahead<'a>, job: &'a NewJob, now: Tick) -> Option<KeyTaken> {
        let request = job.idempotency.as_ref().map(|k| KeyText::new(&k.scope, k.key.as_str()));
        let unique = job.unique.as_ref().map(|k| KeyText::new(&k.scope, k.key.as_str()));
        let same = request
            .as_ref()
            .and_then(|key| ahead.requests.get(key).copied().or_else(|| self.keys.same_request(key, now)));
        let holder = unique
            .as_ref()
            .and_then(|key| ahead.unique.get(key).map(|holder| holder.id).or_else(|| self.keys.live(key)));
        if job.on_conflict == OnConflict::Error {
            let taken = same.map(|job| (KeyName::Idempotency, job));
            let taken = taken.or_else(|| holder.map(|job| (KeyName::Unique, job)));
            if let Some((name, holder)) = taken {
                return Some(KeyTaken::of(job, name, holder));
            }
        }
        let answer = match (same, unique) {
            (Some(same), _) => same,
            (None, None) => job.id,
            (None, Some(key)) => self.take_ahead(ahead, job, key, holder),
        };
        if let (None, Some(key)) = (same, request) {
            ahead.requests.insert(key, answer);
        }
        None
    }

    /// Takes a unique key; who answers for the job.
    fn take_ahead<'a>(
        &self,
        ahead: &mut Ahead<'a>,
        job: &'a NewJob,
        key: Arc<KeyText>,
        holder: Option<JobId>,
    ) -> JobId {
        let Some(holder) = holder else {
            ahead.unique.insert(key, job);
            return job.id;
        };
        if !job.on_conflict.replaces() {
            return holder;
        }
        if ahead.behind.contains(&key) || self.keys.next(&key).is_some() {
            return job.id;
        }
        let waits = match ahead.unique.get(&key) {
            Some(earlier) => earlier.kind == job.kind && earlier.queue == job.queue,
            None => matches!(self.turn(job, &key, holder), Turn::InPlaceOf(_)),
        };
        if waits {
            ahead.unique.insert(key, job);
        } else if job.on_conflict.waits_behind() {
            ahead.behind.insert(key);
        } else {
            return holder;
        }
        job.id
    }
}
