//! The decisions of one queue, without I/O: events in, plans out. The actors are a thin shell around it, and because
//! it lives outside their state, an actor that dies is restarted and finds every lease.

mod ahead;
mod ending;
mod leases;
mod pace;
mod settling;
mod starting;

use super::expiry::StoreClock;
use super::slots::{Slot, Slots, StopReason};
use super::suspects::Suspects;
use crate::LeaseId;
use crate::backend::{Claim, ClaimedJob};
use crate::seeded_bug;
use crate::verdict::{Settled, Settlement};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use ahead::{Paces, Shared};
use leases::Lease;

/// What the core has to know of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct CoreConfig {
    pub(crate) concurrency: usize,
    pub(crate) prefetch_max: usize,
    pub(crate) batch_max: usize,
    pub(crate) lease_for: Duration,
    pub(crate) poll_min: Duration,
    pub(crate) poll_max: Duration,
    /// How many limits this process has closed.
    pub(crate) closings: Arc<AtomicU64>,
}

/// A claim to send. The same lease ids are sent again after an unknown outcome.
#[derive(Debug, Clone)]
pub(crate) struct ClaimPlan {
    pub(crate) lease: LeaseId,
    pub(crate) limit: u32,
    pub(crate) suspect_leases: Vec<LeaseId>,
    pub(crate) solo: bool,
    pub(crate) first_sent: Instant,
    pub(crate) settlements: Arc<Vec<Settlement>>,
    /// Somebody woke us for it.
    pub(crate) woken: bool,
    /// How many limits this process had closed.
    closings: u64,
}

/// A job to run in a task.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) slot: Slot,
    pub(crate) job: ClaimedJob,
    pub(crate) stop: CancellationToken,
    pub(crate) clock: Option<StoreClock>,
    /// When its lease was asked for: it was not claimed before.
    pub(crate) asked: Instant,
}

/// Which actor has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nudge {
    Nobody,
    Claimer,
    Settler,
}

#[derive(Debug)]
pub(crate) struct QueueCore {
    config: CoreConfig,
    /// In order, so that a simulation finds them in the same order each time.
    leases: BTreeMap<LeaseId, Lease>,
    slots: Slots,
    /// Claimed, not started.
    backlog: VecDeque<ClaimedJob>,
    /// Ended, not yet on the way to the store.
    verdicts: Vec<Settlement>,
    claim_call: Option<ClaimPlan>,
    /// A claim whose outcome is unknown.
    claim_unknown: Option<ClaimPlan>,
    settle_call: Option<Arc<Vec<Settlement>>>,
    claimer_nudged: bool,
    settler_nudged: bool,
    /// There may be more to claim: the last claim was full, or somebody woke us.
    hungry: bool,
    /// Somebody woke us since the last claim was planned, which may not have seen what for.
    woken: bool,
    contended: bool,
    /// Jobs were left because of a limit: what ends here may make room for them, and by then there may be room anyway.
    retry_in: Option<Duration>,
    /// A verdict may make room under a limit: one that the next claim carries or has not seen. And one that is on its way without
    /// a claim.
    frees: bool,
    settle_frees: bool,
    /// The last call failed: only the actor's own timer tries again.
    claim_paused: bool,
    settle_paused: bool,
    stopping: bool,
    idle_polls: u32,
    suspects: Suspects,
    paces: Paces,
    /// Finished jobs since `rate_since`, for `prefetch`.
    finished: u64,
    rate_since: Instant,
    prefetch: usize,
}

impl QueueCore {
    pub(crate) fn new(config: CoreConfig, now: Instant) -> Self {
        Self {
            config,
            leases: BTreeMap::new(),
            slots: Slots::default(),
            backlog: VecDeque::new(),
            verdicts: Vec::new(),
            claim_call: None,
            claim_unknown: None,
            settle_call: None,
            claimer_nudged: false,
            settler_nudged: false,
            hungry: true,
            woken: false,
            contended: false,
            retry_in: None,
            frees: false,
            settle_frees: false,
            claim_paused: false,
            settle_paused: false,
            stopping: false,
            idle_polls: 0,
            suspects: Suspects::default(),
            paces: Paces::default(),
            finished: 0,
            rate_since: now,
            prefetch: 0,
        }
    }

    // ---- claiming

    /// Somebody says that there may be jobs.
    pub(crate) fn wake(&mut self) -> Nudge {
        self.hungry = true;
        self.woken = true;
        self.idle_polls = 0;
        self.nudge()
    }

    /// How many more jobs this process may hold.
    fn wanted(&self, carried: usize) -> usize {
        let held = self.slots.running() + self.backlog.len() + self.verdicts.len() - carried
            + self.settle_call.as_ref().map_or(0, |s| s.len());
        (self.config.concurrency + self.prefetch).saturating_sub(held).min(self.config.batch_max)
    }

    fn wants_claim(&self) -> bool {
        (!self.stopping || seeded_bug!("claims_while_stopping"))
            && self.hungry
            && !self.claim_paused
            && self.claim_call.is_none()
            && self.backlog.len() <= self.prefetch / 2
            && self.wanted(self.verdicts.len()) > 0
    }

    /// The next claim, with all verdicts that wait; `polled` claims even if nobody said that there is something.
    pub(crate) fn plan_claim(&mut self, now: Instant, polled: bool) -> Option<ClaimPlan> {
        self.claimer_nudged = false;
        self.release_overdue(now);
        if polled {
            self.hungry = true;
            self.claim_paused = false;
        }
        if !self.wants_claim() {
            return None;
        }
        let woken = std::mem::take(&mut self.woken);
        let settlements = self.take_verdicts();
        let repeated = self.claim_unknown.take().filter(|p| now < p.first_sent + self.config.lease_for / 2);
        let plan = match repeated {
            Some(plan) => ClaimPlan { settlements, woken, ..plan },
            None => {
                let wanted = self.wanted(0);
                let suspects = self.suspects.allowance().min(wanted);
                ClaimPlan {
                    lease: LeaseId::random(),
                    limit: u32::try_from(wanted).unwrap_or(u32::MAX),
                    suspect_leases: (0..suspects).map(|_| LeaseId::random()).collect(),
                    solo: self.suspects.running() == 0,
                    first_sent: now,
                    settlements,
                    woken,
                    closings: self.closings(),
                }
            }
        };
        self.claim_call = Some(plan.clone());
        Some(plan)
    }

    /// The claim was answered: keeps its jobs, returns those to start now.
    pub(crate) fn claim_done(&mut self, now: Instant, settled: &[Settled], claim: Claim) -> Vec<Start> {
        let Some(plan) = self.claim_call.take() else { return Vec::new() };
        self.apply_settled(&plan.settlements, settled);
        self.contended = claim.contended;
        self.retry_in = claim.retry_in;
        let fresh = claim.jobs.iter().filter(|j| j.hold.lease == plan.lease).count();
        // What has ended since it was sent makes room under a limit.
        let room = claim.retry_in.is_some() && self.frees && !seeded_bug!("room_not_looked_for");
        self.hungry = claim.contended || self.woken || room || fresh >= plan.limit as usize;
        if claim.contended {
            return Vec::new();
        }
        self.idle_polls = if claim.jobs.is_empty() { self.idle_polls.saturating_add(1) } else { 0 };
        self.measure(now);
        let sent = if seeded_bug!("lease_counted_from_answer") { now } else { plan.first_sent };
        let ends = sent + self.config.lease_for;
        let clock = claim.now.map(|said| StoreClock { said, heard: now });
        let mut shared = claim.ahead.map(|ahead| Shared::new(ahead, now, plan.closings));
        for job in claim.jobs {
            let suspect = job.hold.lease != plan.lease;
            let lease = self.leases.entry(job.hold.lease).or_insert_with(|| Lease {
                ends,
                asked: plan.first_sent,
                unsettled: 0,
                suspect,
                over: false,
                clock,
                shared: if suspect { None } else { shared.take() },
            });
            if lease.unsettled == 0 && suspect {
                self.suspects.claimed(job.suspicion);
            }
            lease.unsettled += 1;
            self.backlog.extend(lease.claimed(job));
        }
        if self.stopping {
            self.release_backlog();
            return Vec::new();
        }
        self.start_all(now)
    }

    /// The claim failed. If it may have been applied, the next one repeats it.
    pub(crate) fn claim_failed(&mut self, unknown: bool) {
        let Some(plan) = self.claim_call.take() else { return };
        if !seeded_bug!("claim_failure_drops_verdicts") {
            self.put_back(&plan.settlements);
        }
        self.claim_paused = true;
        if unknown && !seeded_bug!("unknown_claim_replaced") {
            self.claim_unknown = Some(plan);
        }
    }

    // ---- running

    /// A job task has ended. Returns the next job for it.
    pub(crate) fn job_ended(
        &mut self,
        now: Instant,
        slot: Slot,
        settlement: Settlement,
    ) -> (Option<Start>, Nudge) {
        match self.slots.end(slot) {
            Some((kind, since)) => {
                let took = now.saturating_duration_since(since);
                self.watched_ended(now, settlement.hold.lease, kind, took);
            }
            None => self.freed(),
        }
        self.finished += 1;
        self.tell(settlement);
        let next = if self.stopping { None } else { self.start_next(now) };
        (next, self.nudge())
    }

    /// Keeps a verdict for the store, unless the store has said that it would refuse it. A lease that only this process
    /// has given up may last, kept by another job under it; then nobody else would get this one back.
    fn tell(&mut self, settlement: Settlement) {
        if self
            .leases
            .get(&settlement.hold.lease)
            .is_some_and(|l| !l.over || seeded_bug!("lost_lease_verdict_sent"))
        {
            self.verdicts.push(settlement);
        } else {
            self.forget(settlement.hold.lease);
        }
    }

    /// Why a running job was asked to stop.
    pub(crate) fn stop_reason(&self, slot: Slot) -> Option<StopReason> {
        self.slots.reason(slot)
    }

    /// Who has something to do now; each is told once until it has looked.
    pub(crate) fn nudge(&mut self) -> Nudge {
        // A claim under way or about to start carries the verdicts: a second round trip would cost more than it gains.
        if self.wants_claim() && !self.contended {
            if self.claimer_nudged {
                return Nudge::Nobody;
            }
            self.claimer_nudged = true;
            return Nudge::Claimer;
        }
        let claim_carries = self.claim_call.is_some() && self.hungry && !self.stopping;
        let settler_busy = self.settle_call.is_some() || self.settle_paused || self.settler_nudged;
        if self.verdicts.is_empty() || claim_carries || settler_busy {
            return Nudge::Nobody;
        }
        self.settler_nudged = true;
        Nudge::Settler
    }

    /// The claimer or settler was restarted: what it had under way has an unknown outcome.
    pub(crate) fn claimer_restarted(&mut self) {
        self.claimer_nudged = false;
        self.claim_failed(!seeded_bug!("restart_forgets_claim"));
        self.claim_paused = false;
        self.hungry = true;
    }

    pub(crate) fn settler_restarted(&mut self) {
        self.settler_nudged = false;
        self.settle_failed();
        self.settle_paused = false;
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
