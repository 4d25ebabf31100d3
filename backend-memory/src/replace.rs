//! Jobs that take the place of others, or wait for their end.

use crate::clock::Tick;
use crate::job::{Place, Stage};
use crate::keys::KeyText;
use crate::state::State;
use job_core::{JobId, NewJob, OnConflict, When, seeded_bug};
use std::sync::Arc;

/// When a job is due that waits for the end of another one, or for a batch: never, until somebody says so.
pub(crate) const NEVER: Tick = Tick::MAX;

/// What becomes of a new job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn {
    /// Nobody has its keys.
    Free,
    /// This job answers for it.
    Existing(JobId),
    /// It takes the place of the job in this slot.
    InPlaceOf(u32),
    /// It waits for the end of the job that holds its unique key.
    Behind,
}

/// Where a new job begins.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) seq: u64,
    pub(crate) born: u64,
    /// When the first of those whose place it has came.
    pub(crate) came: Tick,
    /// The slot that it takes over.
    pub(crate) slot: Option<u32>,
    pub(crate) replaced: Option<JobId>,
}

impl State {
    /// What becomes of a job whose unique key another one holds.
    pub(crate) fn turn(&self, new: &NewJob, key: &KeyText, holder: JobId) -> Turn {
        if !new.on_conflict.replaces() {
            return Turn::Existing(holder);
        }
        if let Some(slot) = self.keys.next(key).and_then(|(next, _)| self.table.find(next)) {
            return Turn::InPlaceOf(slot);
        }
        let slot = self.table.find(holder);
        let job = slot.and_then(|slot| self.table.get(slot));
        match (slot, job) {
            (Some(slot), Some(job))
                if (matches!(job.place, Place::Ready | Place::Waiting { .. })
                    || seeded_bug!("memory_running_job_replaced"))
                    && job.kind == new.kind
                    && self.queue_number(&new.queue) == Some(job.queue_no) =>
            {
                Turn::InPlaceOf(slot)
            }
            _ if new.on_conflict.waits_behind() => Turn::Behind,
            _ => Turn::Existing(holder),
        }
    }

    /// Where a job begins, with what it replaces taken away.
    pub(crate) fn start(
        &mut self,
        new: &NewJob,
        turn: Turn,
        key: Option<&Arc<KeyText>>,
        line: Option<u32>,
        now: Tick,
    ) -> Start {
        let due = match new.when {
            When::Now => now,
            When::After(delay) => now.saturating_add(delay),
            When::At(at) => self.clock.tick(at),
            When::Batch { .. } => NEVER,
        };
        let seq = self.next_seq();
        let place = |due| if due <= now { Place::Ready } else { Place::Waiting { due, retrying: false } };
        let start = Start { place: place(due), seq, born: seq, came: now, slot: None, replaced: None };
        match (turn, key) {
            (Turn::InPlaceOf(slot), Some(key)) => self.take_place(new, slot, key, due, line, start),
            (Turn::Behind, Some(key)) => {
                self.keys.set_next(Arc::clone(key), new.id, due);
                Start { place: Place::Waiting { due: NEVER, retrying: false }, ..start }
            }
            (_, key) => {
                if let Some(key) = key {
                    self.keys.hold(Arc::clone(key), new.id);
                }
                start
            }
        }
    }

    fn take_place(
        &mut self,
        new: &NewJob,
        slot: u32,
        key: &Arc<KeyText>,
        due: Tick,
        line: Option<u32>,
        mut start: Start,
    ) -> Start {
        let now = start.came;
        let Some(old) = self.table.get_mut(slot) else { return start };
        let (id, was, came, batch) = (old.id, old.place, self.clock.tick(old.enqueued_at), old.batch());
        let next = self.keys.next(key).filter(|(next, _)| *next == id);
        let was_due = match (next, was) {
            (Some((_, due)), _) | (None, Place::Waiting { due, .. }) => due,
            _ => now,
        };
        let due = match new.on_conflict {
            OnConflict::Latest => was_due,
            OnConflict::Debounce { max_wait } if !seeded_bug!("memory_debounced_for_ever") => {
                due.min(came.saturating_add(max_wait))
            }
            _ => due,
        };
        start.replaced = Some(id);
        start.came = came;
        start.born = old.born;
        if next.is_some() {
            self.keys.set_next(Arc::clone(key), new.id, due);
            start.place = Place::Waiting { due: NEVER, retrying: false };
        } else {
            self.keys.hold(Arc::clone(key), new.id);
            start.place = if due <= now { Place::Ready } else { Place::Waiting { due, retrying: false } };
        }
        let stays = old.priority == new.priority && old.stage == Stage::Fresh && old.line() == line;
        if was == Place::Ready && start.place == Place::Ready && stays {
            (start.slot, start.seq) = (Some(slot), old.seq);
            return start;
        }
        self.take_out(slot);
        self.remove(slot, now);
        if let Some(batch) = batch {
            self.member_ended(batch);
        }
        start
    }

    /// True if this job waits for the end of another one.
    pub(crate) fn is_parked(&self, slot: u32) -> bool {
        let Some(job) = self.table.get(slot) else { return false };
        let next = job.unique.as_ref().and_then(|key| self.keys.next(key));
        next.is_some_and(|(id, _)| id == job.id)
    }

    /// True if a newer job waits for the end of this one.
    pub(crate) fn has_next(&self, slot: u32) -> bool {
        let key = self.table.get(slot).and_then(|job| job.unique.as_ref());
        key.is_some_and(|key| self.keys.next(key).is_some())
    }

    /// Frees the unique key of a job that has ended; whoever waits for its end has it then.
    pub(crate) fn let_go(&mut self, key: &KeyText, job: JobId) {
        let Some((next, due)) = self.keys.release(key, job) else { return };
        let Some(slot) = self.table.find(next) else { return };
        self.take_out(slot);
        self.make_wait(slot, due, false);
    }
}
