//! Maintenance: promote, reap, prune.

use crate::clock::Tick;
use crate::job::Stage;
use crate::queue::is_innocent;
use crate::replace::NEVER;
use crate::state::State;
use job_core::{DeadReason, MaintainRequest, Maintained, QueueName, seeded_bug};
use std::time::Duration;

/// How long receipts are kept while there is room for them.
const RECEIPTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The most old records forgotten in one call, of each sort.
const PRUNE_LIMIT: usize = 10_000;

impl State {
    pub(crate) fn maintain(&mut self, queue: &QueueName, request: &MaintainRequest, now: Tick) -> Maintained {
        let mut done = Maintained::default();
        self.prune(queue, now, &mut done);
        let Some(number) = self.queue_number(queue) else { return done };
        self.promote(number, request.limit, now, &mut done);
        if request.reap {
            self.reap(number, request, now, &mut done);
        }
        if let Some(kept) = request.dead_kept {
            self.prune_dead(number, kept, request.limit, now, &mut done);
        }
        let queue = &mut self.queues[number as usize];
        if done.promoted + done.jobs_returned > 0 && queue.has_ready() {
            queue.wake();
        }
        queue.lines.catch_up(now);
        let next = queue.waiting.first_key_value().map(|(&(due, _), _)| due);
        done.next_due = next.filter(|due| *due < NEVER).map(|due| due.saturating_sub(now));
        done
    }

    fn promote(&mut self, number: u32, limit: u32, now: Tick, done: &mut Maintained) {
        loop {
            let waiting = &mut self.queues[number as usize].waiting;
            match waiting.first_key_value() {
                Some((&(due, _), _)) if due <= now => {}
                _ => return,
            }
            if done.promoted >= u64::from(limit) {
                done.more = true;
                return;
            }
            if let Some((_, slot)) = waiting.pop_first() {
                self.make_ready(slot, Stage::Fresh);
                done.promoted += 1;
            }
        }
    }

    fn reap(&mut self, number: u32, request: &MaintainRequest, now: Tick, done: &mut Maintained) {
        while done.leases_reaped < u64::from(request.limit) {
            let Some(slots) = self.queues[number as usize].leases.reap(now) else { return };
            done.leases_reaped += 1;
            for (slot, under) in slots {
                if !seeded_bug!("memory_slot_kept_by_reap") {
                    self.limiters.free(under);
                }
                self.bring_back(slot, request.poison_limit, now, done);
            }
        }
        done.more |= self.queues[number as usize].leases.next_expiry().is_some_and(|at| at <= now);
    }

    /// Decides what becomes of a job whose lease was ended.
    fn bring_back(&mut self, slot: u32, poison_limit: u32, now: Tick, done: &mut Maintained) {
        let Some(job) = self.table.get_mut(slot) else { return };
        if job.cancel {
            self.finish(slot, now);
            return;
        }
        if is_innocent(job.stage) && !seeded_bug!("memory_no_second_chance") {
            self.make_ready(slot, Stage::Suspect);
            done.jobs_returned += 1;
            return;
        }
        let was_solo = job.stage == Stage::Solo;
        job.crashes = job.crashes.saturating_add(1);
        if was_solo {
            job.charge();
            if job.crashes >= poison_limit {
                self.bury(slot, DeadReason::Poisoned, now);
                done.poisoned += 1;
                return;
            }
            if job.is_exhausted() {
                self.bury(slot, DeadReason::Exhausted, now);
                return;
            }
        }
        self.make_ready(slot, Stage::Solo);
        done.jobs_returned += 1;
    }

    fn prune_dead(&mut self, number: u32, kept: Duration, limit: u32, now: Tick, done: &mut Maintained) {
        let Some(before) = now.checked_sub(kept) else { return };
        while let Some(&(at, slot)) = self.queues[number as usize].dead.first() {
            if at >= before && !seeded_bug!("memory_dead_pruned_early") {
                return;
            }
            if done.dead_pruned >= u64::from(limit) {
                done.more = true;
                return;
            }
            self.queues[number as usize].dead.remove(&(at, slot));
            self.finish(slot, now);
            done.dead_pruned += 1;
        }
    }

    fn prune(&mut self, queue: &QueueName, now: Tick, done: &mut Maintained) {
        let kept = if seeded_bug!("memory_receipts_pruned") { Duration::ZERO } else { RECEIPTS_KEPT };
        let until = now.checked_sub(kept);
        let mut add = |(pruned, more): (u64, bool)| {
            done.pruned += pruned;
            done.more |= more;
        };
        add(self.table.forget(until, self.capacity, PRUNE_LIMIT));
        add(self.keys.prune(now, PRUNE_LIMIT));
        add(self.forget_kept(now, PRUNE_LIMIT));
        add(self.batches.forget(until, PRUNE_LIMIT));
        if let Some(number) = self.queue_number(queue) {
            add(self.queues[number as usize].leases.forget(until, self.capacity, PRUNE_LIMIT));
        }
    }

    /// Forgets receipts that there is no room for, where they are made: maintenance may be rare.
    pub(crate) fn forget_surplus(&mut self, queue: u32, limit: usize) {
        self.table.forget(None, self.capacity, limit);
        self.queues[queue as usize].leases.forget(None, self.capacity, limit);
    }

    /// Takes a ready or waiting job out of its lane and removes it.
    pub(crate) fn cancel_waiting(&mut self, slot: u32, now: Tick) {
        self.take_out(slot);
        self.finish(slot, now);
    }
}
