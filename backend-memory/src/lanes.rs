//! The ready jobs of one kind in one queue.

use crate::job::{Job, Place, Stage};
use crate::table::Table;
use job_core::{Priority, seeded_bug};
use std::collections::{BTreeMap, VecDeque};

/// Lanes in claim order: for each priority the returned jobs, then the fresh ones.
pub(crate) const LANES: usize = 20;

#[derive(Debug, Default)]
struct Lane {
    /// In order of their seq. An entry whose job has another seq or place by now is void.
    entries: VecDeque<(u64, u32)>,
    void: usize,
}

fn is_valid(table: &Table, (seq, slot): (u64, u32)) -> bool {
    table
        .get(slot)
        .is_some_and(|j| (j.seq == seq || seeded_bug!("memory_slot_mistaken")) && j.place == Place::Ready)
}

impl Lane {
    fn head(&mut self, table: &Table) -> Option<u64> {
        while let Some(&entry) = self.entries.front() {
            if is_valid(table, entry) {
                return Some(entry.0);
            }
            self.entries.pop_front();
            self.void = self.void.saturating_sub(1);
        }
        None
    }

    /// One entry has become void; sweeps when most are.
    fn add_void(&mut self, table: &Table) {
        self.void += 1;
        if self.void > 64 && self.void * 2 > self.entries.len() {
            self.entries.retain(|&e| is_valid(table, e));
            self.void = 0;
        }
    }
}

/// Jobs that must not share a lease, by priority and seq.
pub(crate) type Suspects = BTreeMap<(Priority, u64), u32>;

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    ready: [Lane; LANES],
    /// How many valid entries `ready` has.
    count: usize,
    pub(crate) suspects: Suspects,
    pub(crate) solo: Suspects,
}

fn lane_of(job: &Job) -> usize {
    usize::from(job.priority.level()) * 2 + usize::from(job.stage == Stage::Fresh)
}

impl Lanes {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The seq of the first job of a lane.
    pub(crate) fn head(&mut self, lane: usize, table: &Table) -> Option<u64> {
        self.ready[lane].head(table)
    }

    /// How many jobs can be claimed.
    pub(crate) fn ready(&self) -> usize {
        self.count + self.suspects.len() + self.solo.len()
    }

    /// The seq and slot of the job that became ready first, in whatever lane.
    pub(crate) fn oldest(&mut self, table: &Table) -> Option<(u64, u32)> {
        let lanes = self.ready.iter_mut().filter_map(|lane| {
            lane.head(table)?;
            lane.entries.front().copied()
        });
        let oldest = lanes.min();
        let first_of_each_priority = |jobs: &Suspects| {
            let priorities = (0..=9).filter_map(Priority::new);
            let firsts = priorities.filter_map(|p| jobs.range((p, 0)..=(p, u64::MAX)).next());
            firsts.map(|(&(_, seq), &slot)| (seq, slot)).min()
        };
        let others = [first_of_each_priority(&self.suspects), first_of_each_priority(&self.solo)];
        others.into_iter().flatten().chain(oldest).min()
    }

    /// Takes the job that [`head`](Self::head) found.
    pub(crate) fn pop(&mut self, lane: usize) -> Option<u32> {
        let (_, slot) = self.ready[lane].entries.pop_front()?;
        self.count -= 1;
        Some(slot)
    }

    pub(crate) fn push(&mut self, job: &Job, slot: u32) {
        match job.stage {
            Stage::Fresh | Stage::Returned => {
                self.ready[lane_of(job)].entries.push_back((job.seq, slot));
                self.count += 1;
            }
            Stage::Suspect => drop(self.suspects.insert((job.priority, job.seq), slot)),
            Stage::Solo => drop(self.solo.insert((job.priority, job.seq), slot)),
        }
    }

    /// Takes out a job that is about to leave without having been claimed. Its place must have changed already.
    pub(crate) fn withdraw(&mut self, slot: u32, table: &Table) {
        let Some(job) = table.get(slot) else { return };
        match job.stage {
            Stage::Fresh | Stage::Returned => {
                self.count -= 1;
                self.ready[lane_of(job)].add_void(table);
            }
            Stage::Suspect => drop(self.suspects.remove(&(job.priority, job.seq))),
            Stage::Solo => drop(self.solo.remove(&(job.priority, job.seq))),
        }
    }
}
