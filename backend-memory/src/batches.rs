//! Batches: who waits for the end of which jobs.

use crate::clock::Tick;
use crate::job::{Place, Stage};
use crate::state::State;
use job_core::{BatchEvent, BatchId, BatchRecord, JobId, seeded_bug};
use std::collections::{HashMap, HashSet, VecDeque};

/// A batch, known in full once a job that waits for it has been stored.
#[derive(Debug)]
struct Batch {
    record: BatchRecord,
    /// Members that have died, once each however often they did.
    died: HashSet<JobId>,
    known: bool,
    mourned: bool,
    over_at: Option<Tick>,
}

#[derive(Debug, Default)]
pub(crate) struct Batches {
    all: HashMap<BatchId, Batch>,
    /// When each was first heard of, and when it ended; oldest first.
    ages: VecDeque<(Tick, BatchId)>,
}

impl Batches {
    pub(crate) fn record(&self, id: BatchId) -> Option<BatchRecord> {
        self.all.get(&id).filter(|b| b.known).map(|b| b.record)
    }

    fn of(&mut self, id: BatchId, now: Tick) -> &mut Batch {
        self.all.entry(id).or_insert_with(|| {
            self.ages.push_back((now, id));
            Batch {
                record: BatchRecord::new(id, 0),
                died: HashSet::new(),
                known: false,
                mourned: false,
                over_at: None,
            }
        })
    }

    /// Forgets batches that ended at or before `until`, and those that nobody has waited for until then; how many, and whether more
    /// are left.
    pub(crate) fn forget(&mut self, until: Option<Tick>, limit: usize) -> (u64, bool) {
        for done in 0..limit {
            match self.ages.front() {
                Some(&(at, id)) if until.is_some_and(|until| at <= until) => {
                    self.ages.pop_front();
                    let ended = |batch: &Batch| batch.over_at.is_some_and(|over| over <= at);
                    if self.all.get(&id).is_some_and(|batch| ended(batch) || !batch.known) {
                        self.all.remove(&id);
                    }
                }
                _ => return (done as u64, false),
            }
        }
        (limit as u64, true)
    }
}

impl State {
    /// A job waits for this event of a batch.
    pub(crate) fn wait_for_batch(&mut self, id: BatchId, members: u32, event: BatchEvent, job: JobId) {
        let now = self.clock.now();
        let batch = self.batches.of(id, now);
        batch.known = true;
        batch.record.members = members;
        match event {
            BatchEvent::Complete => batch.record.on_complete = Some(job),
            BatchEvent::Death => batch.record.on_death = Some(job),
        }
        self.advance(id);
    }

    pub(crate) fn member_ended(&mut self, id: BatchId) {
        let now = self.clock.now();
        self.batches.of(id, now).record.ended += 1;
        self.advance(id);
    }

    pub(crate) fn member_died(&mut self, id: BatchId, job: JobId) {
        let now = self.clock.now();
        let batch = self.batches.of(id, now);
        batch.record.deaths += u32::from(batch.died.insert(job));
        self.advance(id);
    }

    /// Lets jobs run whose event has come.
    fn advance(&mut self, id: BatchId) {
        let now = self.clock.now();
        let Some(batch) = self.batches.all.get_mut(&id).filter(|batch| batch.known) else { return };
        let record = batch.record;
        let counted =
            if seeded_bug!("memory_dead_members_end") { record.ended + record.deaths } else { record.ended };
        // Each once: from then on a job runs and fails like any other.
        let completes = counted >= record.members && batch.over_at.is_none();
        let mourns = record.deaths > 0 && !batch.mourned;
        batch.mourned |= mourns;
        if completes {
            batch.over_at = Some(now);
            self.batches.ages.push_back((now, id));
        }
        if let Some(job) = record.on_death.filter(|_| mourns) {
            self.run_now(job);
        }
        if let Some(job) = record.on_complete.filter(|_| completes) {
            self.run_now(job);
        }
        if let Some(job) = record.on_death.filter(|_| completes && record.deaths == 0) {
            self.cancel(job);
        }
    }

    /// Makes a job ready that waits for its time; false if it does not.
    pub(crate) fn run_now(&mut self, id: JobId) -> bool {
        let Some(slot) = self.table.find(id).filter(|&slot| !self.is_parked(slot)) else { return false };
        let waits = self.table.get(slot).is_some_and(|job| matches!(job.place, Place::Waiting { .. }));
        let Some(queue) = waits.then(|| self.take_out(slot)).flatten() else { return false };
        self.make_ready(slot, Stage::Fresh);
        self.queues[queue].wake();
        true
    }
}
