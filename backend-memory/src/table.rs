//! Where jobs are stored, and what is remembered of those that are gone.

use crate::clock::Tick;
use crate::hash::IdMap;
use crate::job::Job;
use crate::keys::KeyText;
use job_core::{BatchId, Enqueued, JobId, seeded_bug};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the store knows about an id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    /// The job in this slot.
    Here(u32),
    /// It has ended.
    Ended,
    /// It was never stored: this job held its key.
    Duplicate(JobId),
}

/// What has to be done about a job that is gone.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) id: JobId,
    pub(crate) unique: Option<Arc<KeyText>>,
    pub(crate) batch: Option<BatchId>,
}

/// Jobs by slot, so that a settlement finds its job without hashing.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Job>>,
    free: Vec<u32>,
    /// The slot each id was stored in. A job that has ended is told by its slot, which is empty or another job's: so
    /// ending a job need not look it up here.
    ids: IdMap<JobId, u32>,
    duplicates: IdMap<JobId, JobId>,
    /// The job whose place each took.
    replaced: IdMap<JobId, JobId>,
    /// Ids that are only remembered, oldest first.
    ended: VecDeque<(Tick, JobId)>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn known(&self, id: JobId) -> Option<Known> {
        if let Some(&slot) = self.ids.get(&id) {
            return Some(if self.get(slot).is_some_and(|j| j.id == id) {
                Known::Here(slot)
            } else {
                Known::Ended
            });
        }
        self.duplicates.get(&id).map(|&holder| Known::Duplicate(holder))
    }

    /// What a repeated enqueue of a known id answers.
    pub(crate) fn answer(&self, id: JobId, known: Known) -> Enqueued {
        match known {
            Known::Here(_) | Known::Ended => {
                Enqueued { replaced: self.replaced.get(&id).copied(), ..Enqueued::stored(id) }
            }
            Known::Duplicate(holder) => Enqueued::existing(holder),
        }
    }

    pub(crate) fn find(&self, id: JobId) -> Option<u32> {
        match self.known(id) {
            Some(Known::Here(slot)) => Some(slot),
            _ => None,
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Job> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Job> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Job)> {
        (0..).zip(&self.slots).filter_map(|(slot, job)| Some((slot, job.as_ref()?)))
    }

    pub(crate) fn insert(&mut self, job: Job) -> u32 {
        let id = job.id;
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(job);
            slot
        } else {
            let slot = u32::try_from(self.slots.len()).expect("capacity is at most u32::MAX");
            self.slots.push(Some(job));
            slot
        };
        self.ids.insert(id, slot);
        slot
    }

    /// Removes a job and remembers its id.
    pub(crate) fn remove(&mut self, slot: u32, now: Tick) -> Option<Gone> {
        let place = self.slots.get_mut(slot as usize)?;
        let job = place.as_mut()?;
        let gone = Gone { id: job.id, unique: job.unique.take(), batch: job.batch() };
        // Dropped where it is: handing it out would copy it several times.
        *place = None;
        self.free.push(slot);
        self.ended.push_back((now, gone.id));
        if seeded_bug!("memory_ids_forgotten") {
            self.ids.remove(&gone.id);
        }
        Some(gone)
    }

    /// Puts a job into the slot of another one, whose id is remembered.
    pub(crate) fn swap(&mut self, slot: u32, job: Job, now: Tick) -> Option<Job> {
        self.ids.insert(job.id, slot);
        let old = self.slots.get_mut(slot as usize).and_then(|place| place.replace(job));
        if let Some(old) = &old {
            self.ended.push_back((now, old.id));
        }
        old
    }

    /// Remembers whose place this job took.
    pub(crate) fn remember_replaced(&mut self, id: JobId, replaced: JobId) {
        self.replaced.insert(id, replaced);
    }

    /// Remembers that this id was not stored because `holder` has its key.
    pub(crate) fn remember_duplicate(&mut self, id: JobId, holder: JobId, now: Tick) {
        self.duplicates.insert(id, holder);
        self.ended.push_back((now, id));
    }

    /// Forgets ids that ended at or before `until`, and the oldest ones above `max`; at most `limit`.
    pub(crate) fn forget(&mut self, until: Option<Tick>, max: usize, limit: usize) -> (u64, bool) {
        for done in 0..limit {
            let over = self.ended.len() > max;
            match self.ended.front() {
                Some(&(at, id)) if over || until.is_some_and(|until| at <= until) => {
                    self.ended.pop_front();
                    self.ids.remove(&id);
                    self.duplicates.remove(&id);
                    self.replaced.remove(&id);
                }
                _ => return (done as u64, false),
            }
        }
        (limit as u64, true)
    }
}
