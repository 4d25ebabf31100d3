//! Settle and extend.

use crate::clock::Tick;
use crate::job::Stage;
use crate::leases::Fate;
use crate::state::State;
use job_core::{
    DeadReason, Extended, Hold, LeaseId, LeaseStatus, QueueName, Settled, Settlement, Verdict, WorkerId,
    seeded_bug,
};
use std::time::Duration;

impl State {
    pub(crate) fn settle(
        &mut self,
        queue: &QueueName,
        settlements: &[Settlement],
        now: Tick,
    ) -> Vec<Settled> {
        let Some(number) = self.queue_number(queue) else { return vec![Settled::Stale; settlements.len()] };
        let mut released = false;
        let mut answers = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let answer = match self.fate(number, &settlement.hold) {
                None | Some((_, _, Fate::Reaped)) => Settled::Stale,
                Some((_, _, Fate::Settled)) => Settled::AlreadyApplied,
                Some((index, slot, Fate::Held)) => {
                    let leases = &mut self.queues[number as usize].leases;
                    let under = leases.settle(settlement.hold.lease, index, now);
                    if !seeded_bug!("memory_slot_kept_by_settle") {
                        self.limiters.free(under);
                    }
                    let worker = match settlement.verdict {
                        Verdict::Retry { .. } | Verdict::Dead { .. } => self.worker(number, &settlement.hold),
                        _ => None,
                    };
                    released |= self.apply(slot, &settlement.verdict, worker, now);
                    if !settlement.follow_ups.is_empty() {
                        self.enqueue(&settlement.follow_ups, now);
                    }
                    Settled::Applied
                }
            };
            answers.push(answer);
        }
        if released {
            self.queues[number as usize].wake();
        }
        self.forget_surplus(number, 2 * settlements.len());
        answers
    }

    pub(crate) fn fate(&self, queue: u32, hold: &Hold) -> Option<(usize, u32, Fate)> {
        let lease = self.queues[queue as usize].leases.get(hold.lease)?;
        let index = lease.index_of(hold)?;
        let leased = &lease.jobs[index];
        Some((index, leased.slot, leased.fate))
    }

    /// Who holds it, or held it.
    fn worker(&self, queue: u32, hold: &Hold) -> Option<WorkerId> {
        self.queues[queue as usize].leases.get(hold.lease).map(|lease| lease.worker)
    }

    /// Applies a verdict to a job whose lease has let go of it; true if the job is ready again.
    fn apply(&mut self, slot: u32, verdict: &Verdict, worker: Option<WorkerId>, now: Tick) -> bool {
        // Most jobs end like this, so nothing is looked up for them.
        if matches!(verdict, Verdict::Complete) {
            self.finish(slot, now);
            return false;
        }
        let wall = self.clock.wall(now);
        let has_next = self.has_next(slot);
        let Some(job) = self.table.get_mut(slot) else { return false };
        let comes_back = matches!(verdict, Verdict::Retry { .. } | Verdict::Snooze { .. } | Verdict::Release);
        // A newer job that waits for its end goes on in its stead.
        if comes_back && (job.cancel || has_next && !seeded_bug!("memory_old_comes_back")) {
            self.finish(slot, now);
            return false;
        }
        match verdict {
            Verdict::Retry { after, error } => {
                job.keep_error(wall, worker, error);
                job.charge();
                if job.is_exhausted() {
                    self.bury(slot, DeadReason::Exhausted, now);
                } else {
                    job.crashes = 0;
                    self.make_wait(slot, now.saturating_add(*after), true);
                }
            }
            Verdict::Snooze { delay } => {
                job.crashes = 0;
                self.make_wait(slot, now.saturating_add(*delay), false);
            }
            Verdict::Release => {
                job.crashes = 0;
                self.make_ready(slot, Stage::Returned);
                return true;
            }
            Verdict::Dead { reason, error } => {
                job.keep_error(wall, worker, error);
                job.charge();
                self.bury(slot, *reason, now);
            }
            Verdict::Keep(kept) => self.keep(slot, kept, now),
            // Cancel. A verdict of a later contract ends the job rather than running it for ever.
            _ => self.finish(slot, now),
        }
        false
    }

    pub(crate) fn extend(
        &mut self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
        now: Tick,
    ) -> Extended {
        let mut extended = Extended { leases: Vec::with_capacity(leases.len()), cancel: Vec::new() };
        let Some(number) = self.queue_number(queue) else {
            extended.leases.resize(leases.len(), LeaseStatus::Stale);
            return extended;
        };
        let held = &mut self.queues[number as usize].leases;
        let expires = now.saturating_add(lease_for);
        for &id in leases {
            if !held.extend(id, expires) {
                extended.leases.push(LeaseStatus::Stale);
                continue;
            }
            extended.leases.push(LeaseStatus::Held);
            for leased in held.get(id).into_iter().flat_map(|l| &l.jobs) {
                if leased.fate == Fate::Held && self.table.get(leased.slot).is_some_and(|j| j.cancel) {
                    extended.cancel.push(leased.job);
                }
            }
        }
        extended
    }
}
