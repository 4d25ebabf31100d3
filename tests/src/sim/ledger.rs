//! What processes were told of their leases, against the clock of the store, which in a simulation is the only one.

use crate::rig::event::Held;
use job_core::{Claim, ClaimRequest, JobId, LeaseId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The leases that are known to hold.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Until when each lease holds at least, as long as its jobs are not settled.
    until: HashMap<LeaseId, Instant>,
    /// The last claim of each job that somebody heard of, unless a verdict was sent for it.
    holder: HashMap<JobId, Held>,
    pub(super) complaints: Vec<String>,
}

impl Ledger {
    /// A claim that was sent at `sent` was answered.
    pub(super) fn claimed(&mut self, sent: Instant, request: &ClaimRequest<'_>, claim: &Claim) {
        let now = Instant::now();
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
            self.extend(lease, sent, request.lease_for);
        }
    }

    /// A lease holds until `lease_for` after `sent` at least.
    pub(super) fn extend(&mut self, lease: LeaseId, sent: Instant, lease_for: Duration) {
        let until = self.until.entry(lease).or_insert(sent);
        *until = (*until).max(sent + lease_for);
    }

    /// A verdict is on its way: from now on the job may be anybody's.
    pub(super) fn let_go(&mut self, held: &Held) {
        if self.holder.get(&held.job) == Some(held) {
            self.holder.remove(&held.job);
        }
    }
}
