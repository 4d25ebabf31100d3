//! What processes were told of their leases, against the clock of the store, which in a simulation is the only one.

use super::job::LEASE;
use super::tape::Process;
use crate::judge::event::Held;
use job_core::{Claim, ClaimRequest, JobId, LeaseId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a handler may go on after its process heard that its lease is over.
const TO_STOP: Duration = LEASE.checked_div(8).expect("not by 0");

/// What is known of leases and claims.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Until when each lease holds at least, as long as its jobs are not settled.
    until: HashMap<LeaseId, Instant>,
    /// When handlers under a lease must have stopped, where that is not when it ends: its process was frozen and could
    /// not know, or it was told.
    stop_by: HashMap<LeaseId, Option<Instant>>,
    /// The last claim of each job that somebody heard of, unless a verdict was sent for it.
    holder: HashMap<JobId, Held>,
    /// When each claim was first sent, by its lease: a repeat may find what was granted then.
    first_sent: HashMap<LeaseId, Instant>,
    /// The same as histories have it.
    first_stamp: HashMap<LeaseId, u64>,
    /// The last claim that each process sent.
    asked: HashMap<usize, Asked>,
    /// Claims that were sent again.
    pub(super) repeated: u64,
    pub(super) complaints: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Asked {
    lease: LeaseId,
    limit: u32,
    suspect_leases: Vec<LeaseId>,
    solo: bool,
}

impl Ledger {
    /// A claim is sent.
    pub(super) fn claiming(&mut self, by: Process, request: &ClaimRequest<'_>) {
        let asked = Asked {
            lease: request.lease,
            limit: request.limit,
            suspect_leases: request.suspect_leases.to_vec(),
            solo: request.solo,
        };
        if let Some(before) = self.asked.get(&by.number())
            && before.lease == asked.lease
        {
            self.repeated += 1;
            if *before != asked {
                self.complaints.push(format!("a claim was repeated as another: {before:?}, then {asked:?}"));
            }
        }
        self.asked.insert(by.number(), asked);
        self.first_sent.entry(request.lease).or_insert_with(Instant::now);
    }

    /// When this claim was first sent, if it is sent now, perhaps again.
    pub(super) fn first_stamp(&mut self, lease: LeaseId, now: u64) -> u64 {
        *self.first_stamp.entry(lease).or_insert(now)
    }

    /// A claim was answered.
    pub(super) fn claimed(&mut self, request: &ClaimRequest<'_>, claim: &Claim) {
        let now = Instant::now();
        let sent = self.first_sent.get(&request.lease).copied().unwrap_or(now);
        let alone = request.suspect_leases;
        let shared = claim.jobs.iter().filter(|j| j.hold.lease == request.lease).count();
        if shared > request.limit as usize || claim.jobs.len() - shared > alone.len() {
            let text = format!("a claim of {} and {} gave {}", request.limit, alone.len(), claim.jobs.len());
            self.complaints.push(text);
        }
        for job in &claim.jobs {
            let lease = job.hold.lease;
            if lease != request.lease && !alone.contains(&lease) {
                self.complaints
                    .push(format!("a claim gave {} under {lease}, which it did not name", job.hold.job));
            }
            let held = Held { job: job.hold.job, claims: job.hold.claims, lease };
            if let Some(other) = self.holder.insert(held.job, held)
                && other.claims < held.claims
                && self.until.get(&other.lease).is_some_and(|until| now < *until)
            {
                let text = format!(
                    "{} was given away as claim {} while {} held it as claim {}",
                    held.job, held.claims, other.lease, other.claims
                );
                self.complaints.push(text);
            }
            self.extended(lease, sent, request.lease_for);
        }
    }

    /// A lease holds until `lease_for` after `sent` at least.
    pub(super) fn extended(&mut self, lease: LeaseId, sent: Instant, lease_for: Duration) {
        let until = self.until.entry(lease).or_insert(sent);
        *until = (*until).max(sent + lease_for);
    }

    /// A process was told that a lease is over.
    pub(super) fn ended(&mut self, lease: LeaseId) {
        let now = Instant::now();
        self.until.insert(lease, now);
        self.stop_by.entry(lease).or_insert(Some(now + TO_STOP));
    }

    /// Everybody is frozen until `thaw`: nobody can stop what runs under leases that end meanwhile, or soon after.
    pub(super) fn frozen(&mut self, thaw: Instant) {
        let over: HashSet<_> = self
            .until
            .iter()
            .filter(|(_, until)| **until < thaw + TO_STOP)
            .map(|(lease, _)| *lease)
            .collect();
        self.stop_by.extend(over.into_iter().map(|lease| (lease, None)));
    }

    /// A verdict is on its way: from now on the job may be anybody's.
    pub(super) fn let_go(&mut self, held: &Held) {
        if self.holder.get(&held.job) == Some(held) {
            self.holder.remove(&held.job);
        }
    }

    /// A handler does something under this lease; one that did not have to stop must have it.
    pub(super) fn acts(&mut self, held: &Held, what: &str) {
        let now = Instant::now();
        let ends = self.until.get(&held.lease).copied();
        let stop_by = self.stop_by.get(&held.lease).copied().unwrap_or(ends);
        if let Some(late) = stop_by.and_then(|by| now.checked_duration_since(by)).filter(|d| !d.is_zero()) {
            let ended = ends.map(|ends| now.duration_since(ends));
            self.complaints.push(format!(
                "{} {what} as claim {}, {late:?} after it had to stop, {ended:?} after {} was over",
                held.job, held.claims, held.lease
            ));
        }
    }
}
