//! Everything behind the lock, and the moves of a job that several calls share.

use crate::alerts::Reports;
use crate::batches::Batches;
use crate::clock::{Clock, Tick};
use crate::job::{Place, Stage};
use crate::keys::Keys;
use crate::limits::Limiters;
use crate::queue::{Queue, is_innocent};
use crate::table::{Gone, Table};
use jiff::Timestamp;
use job_core::{DeadReason, QueueName, seeded_bug};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) capacity: usize,
    pub(crate) table: Table,
    pub(crate) keys: Keys,
    pub(crate) queues: Vec<Queue>,
    pub(crate) batches: Batches,
    pub(crate) limiters: Limiters,
    pub(crate) reports: Reports,
    /// Completed jobs that are kept, by when they are to go; the seq only tells equal instants apart.
    pub(crate) kept: BTreeMap<(Tick, u64), u32>,
    queue_numbers: HashMap<QueueName, u32>,
    seq: u64,
}

impl State {
    pub(crate) fn new(capacity: usize, wall: Timestamp) -> Self {
        Self {
            clock: Clock::start(wall),
            capacity,
            table: Table::default(),
            keys: Keys::default(),
            queues: Vec::new(),
            batches: Batches::default(),
            limiters: Limiters::default(),
            reports: Reports::default(),
            kept: BTreeMap::new(),
            queue_numbers: HashMap::new(),
            seq: 0,
        }
    }

    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn queue_number(&self, name: &QueueName) -> Option<u32> {
        self.queue_numbers.get(name).copied()
    }

    pub(crate) fn number_queue(&mut self, name: &QueueName) -> u32 {
        if let Some(number) = self.queue_number(name) {
            return number;
        }
        let number = u32::try_from(self.queues.len()).expect("fewer queues than u32::MAX");
        self.queue_numbers.insert(name.clone(), number);
        self.queues.push(Queue::new(name.clone()));
        number
    }

    pub(crate) fn queue_mut(&mut self, name: &QueueName) -> &mut Queue {
        let number = self.number_queue(name);
        &mut self.queues[number as usize]
    }

    /// Moves a job that nobody holds to a place where it can be claimed or waits.
    fn admit(&mut self, slot: u32, place: Place, stage: Stage) {
        let seq = self.next_seq();
        let Some(job) = self.table.get_mut(slot) else { return };
        job.seq = seq;
        job.place = place;
        job.stage = stage;
        let queue = &mut self.queues[job.queue_no as usize];
        if let Some(line) = job.line()
            && (place != Place::Ready || is_innocent(stage))
        {
            let was_out = job.come_in();
            let ended = seeded_bug!("memory_retry_frees_order");
            queue.lines.come_back(line, slot, was_out, ended, self.clock.now());
        }
        queue.admit(job, slot, &self.clock);
    }

    /// A job that nobody holds and that is in no lane is about to leave the store, or to be dead for good or until somebody
    /// looks: its line goes on without it.
    fn leave_line(&mut self, slot: u32, gone: bool) {
        let Some(job) = self.table.get_mut(slot) else { return };
        let Some(line) = job.line() else { return };
        let (was_out, now) = (job.come_in(), self.clock.now());
        let lines = &mut self.queues[job.queue_no as usize].lines;
        if gone {
            job.leave_line();
            lines.part(line, slot, was_out, now);
        } else {
            lines.come_back(line, slot, was_out, true, now);
        }
    }

    /// Removes a job that nobody holds and that is in no lane.
    pub(crate) fn remove(&mut self, slot: u32, now: Tick) -> Option<Gone> {
        self.leave_line(slot, true);
        self.table.remove(slot, now)
    }

    /// A job has completed and is kept: it is of no line any more.
    pub(crate) fn leave_line_for_good(&mut self, slot: u32) {
        self.leave_line(slot, true);
    }

    /// Takes a ready or waiting job out of its line, as if it ran. Its queue.
    pub(crate) fn take_out(&mut self, slot: u32) -> Option<usize> {
        let job = self.table.get_mut(slot)?;
        let from = std::mem::replace(&mut job.place, Place::Running);
        let queue = job.queue_no as usize;
        self.queues[queue].withdraw(slot, from, &self.table, &self.clock);
        Some(queue)
    }

    /// Makes a job ready. Whoever calls this wakes the queue afterwards.
    pub(crate) fn make_ready(&mut self, slot: u32, stage: Stage) {
        self.admit(slot, Place::Ready, stage);
    }

    /// Lets a job wait until `due`, with a clean record.
    pub(crate) fn make_wait(&mut self, slot: u32, due: Tick, retrying: bool) {
        self.admit(slot, Place::Waiting { due, retrying }, Stage::Fresh);
    }

    /// Puts a job that nobody holds into the dead-letter queue.
    pub(crate) fn bury(&mut self, slot: u32, reason: DeadReason, now: Tick) {
        let Some(job) = self.table.get_mut(slot) else { return };
        job.place = Place::Dead { at: now, reason };
        self.queues[job.queue_no as usize].dead.insert((now, slot));
        job.cancel &= seeded_bug!("memory_cancel_outlives_death");
        let (id, unique, batch) = (job.id, job.unique.clone(), job.batch());
        self.leave_line(slot, false);
        if let Some(key) = unique {
            self.let_go(&key, id);
        }
        if let Some(batch) = batch {
            self.member_died(batch, id);
        }
    }

    /// Removes a job that has completed, was cancelled or discarded, and that nobody holds.
    pub(crate) fn finish(&mut self, slot: u32, now: Tick) {
        let Some(gone) = self.remove(slot, now) else { return };
        if let Some(key) = &gone.unique {
            self.let_go(key, gone.id);
        }
        if let Some(batch) = gone.batch {
            self.member_ended(batch);
        }
    }
}
