//! What a queue's core knows of its leases.

use super::QueueCore;
use super::ahead::Shared;
use crate::backend::{ClaimedJob, Extended, LeaseStatus};
use crate::runtime::expiry::StoreClock;
use crate::runtime::slots::StopReason;
use crate::seeded_bug;
use crate::verdict::{Settlement, Verdict};
use crate::{JobId, LeaseId};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A lease as this process believes it to be.
#[derive(Debug)]
pub(super) struct Lease {
    /// From the clock reading taken before the request was sent, so never later than the store's.
    pub(super) ends: Instant,
    /// When it was first asked for.
    pub(super) asked: Instant,
    pub(super) unsettled: u32,
    pub(super) suspect: bool,
    /// The store says that it has ended.
    pub(super) over: bool,
    /// What the store's clock said with the claim.
    pub(super) clock: Option<StoreClock>,
    /// What it has of jobs that share slots of a limit.
    pub(super) shared: Option<Box<Shared>>,
}

impl QueueCore {
    /// Time before the end of a lease at which this process no longer counts on it.
    pub(super) fn margin(&self) -> Duration {
        self.config.lease_for / 5
    }

    pub(crate) fn leases(&self) -> Vec<LeaseId> {
        if self.stopping && seeded_bug!("extension_stops_at_shutdown") {
            return Vec::new();
        }
        self.leases.iter().filter(|(_, l)| !l.over).map(|(id, _)| *id).collect()
    }

    /// The store answered an extension that was sent at `sent`.
    pub(crate) fn extended(&mut self, sent: Instant, asked: &[LeaseId], answer: &Extended) {
        for (id, status) in asked.iter().zip(&answer.leases) {
            match status {
                LeaseStatus::Held => {
                    if let Some(lease) = self.leases.get_mut(id) {
                        lease.ends = lease.ends.max(sent + self.config.lease_for);
                    }
                }
                LeaseStatus::Stale => self.lose(*id),
            }
        }
        for job in &answer.cancel {
            self.ask_to_cancel(sent, *job);
        }
    }

    /// Stops what runs under leases that this process can no longer count on. Returns when to look again.
    pub(crate) fn fence(&mut self, now: Instant) -> Option<Instant> {
        let margin = if seeded_bug!("fence_without_margin") { Duration::ZERO } else { self.margin() };
        let over: Vec<_> = self
            .leases
            .iter()
            .filter(|(_, l)| now + margin >= l.ends && !seeded_bug!("no_fence"))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.slots.stop_lease(id, StopReason::LeaseLost);
        }
        self.leases.values().map(|l| l.ends - margin).filter(|at| *at > now).min()
    }

    pub(super) fn lose(&mut self, id: LeaseId) {
        let mut waiting = 0;
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.over = true;
            waiting = lease.waiting_mut().map(std::mem::take).map_or(0, |waiting| waiting.len());
        }
        let running = self.slots.stop_lease(id, StopReason::LeaseLost);
        let before = self.backlog.len();
        self.backlog.retain(|j| j.hold.lease != id);
        waiting += before - self.backlog.len();
        if running + waiting > 0 {
            tracing::warn!(lease = %id, running, waiting, "lease lost: its jobs run again elsewhere");
        }
        for _ in 0..waiting {
            self.forget(id);
        }
    }

    pub(super) fn ask_to_cancel(&mut self, now: Instant, job: JobId) {
        if seeded_bug!("cancel_ignored") {
            return;
        }
        self.slots.stop_job(job, StopReason::Cancelled);
        // Not started yet: it never will be.
        let take = |jobs: &mut VecDeque<ClaimedJob>| {
            jobs.iter().position(|j| j.hold.job == job).and_then(|at| jobs.remove(at))
        };
        let started_next = take(&mut self.backlog);
        if let Some(job) = &started_next {
            self.make_room(now, job.hold.lease, &job.kind);
        }
        let waited = || self.leases.values_mut().filter_map(Lease::waiting_mut).find_map(take);
        if let Some(job) = started_next.or_else(waited) {
            let verdict =
                if seeded_bug!("cancelled_backlog_released") { Verdict::Release } else { Verdict::Cancel };
            self.verdicts.push(Settlement::new(job.hold, verdict));
        }
    }
}
