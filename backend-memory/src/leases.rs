//! The leases of one queue, live and remembered.

use crate::clock::Tick;
use crate::hash::IdMap;
use crate::limits::LimitSet;
use job_core::{Hold, JobId, LeaseId, WorkerId, seeded_bug};
use std::collections::{BTreeSet, VecDeque};

/// What became of a job under its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Held,
    Settled,
    Reaped,
}

#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) job: JobId,
    pub(crate) slot: u32,
    pub(crate) fate: Fate,
    /// The limits that it counts for while it is held.
    pub(crate) under: LimitSet,
}

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) jobs: Vec<Leased>,
    /// Jobs not settled; the lease ends with the last.
    held: usize,
    expires: Tick,
    pub(crate) worker: WorkerId,
}

impl Lease {
    pub(crate) fn is_live(&self) -> bool {
        self.held > 0
    }

    /// The place of the job in this lease. The locator says where to look first.
    pub(crate) fn index_of(&self, hold: &Hold) -> Option<usize> {
        usize::try_from(hold.locator[1])
            .ok()
            .filter(|&i| self.jobs.get(i).is_some_and(|l| l.job == hold.job))
            .or_else(|| self.jobs.iter().position(|l| l.job == hold.job))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_id: IdMap<LeaseId, Lease>,
    expiries: BTreeSet<(Tick, LeaseId)>,
    /// Leases that are only remembered, oldest first.
    ended: VecDeque<(Tick, LeaseId)>,
    /// The jobs of the remembered leases.
    ended_jobs: usize,
}

impl Leases {
    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    pub(crate) fn grant(&mut self, id: LeaseId, worker: WorkerId, jobs: Vec<Leased>, expires: Tick) {
        self.expiries.insert((expires, id));
        self.by_id.insert(id, Lease { held: jobs.len(), jobs, expires, worker });
    }

    /// Lets a live lease last until `expires` or later; false if it has ended.
    pub(crate) fn extend(&mut self, id: LeaseId, expires: Tick) -> bool {
        let Some(lease) = self.by_id.get_mut(&id).filter(|l| l.is_live()) else { return false };
        if lease.expires < expires || seeded_bug!("memory_extend_shortens") {
            self.expiries.remove(&(lease.expires, id));
            self.expiries.insert((expires, id));
            lease.expires = expires;
        }
        true
    }

    /// Notes a verdict for a held job; answers the limits that it counted for.
    pub(crate) fn settle(&mut self, id: LeaseId, index: usize, now: Tick) -> LimitSet {
        let Some(lease) = self.by_id.get_mut(&id) else { return 0 };
        let under = lease.jobs[index].under;
        lease.jobs[index].fate = Fate::Settled;
        lease.held -= 1;
        if lease.held == 0 {
            self.expiries.remove(&(lease.expires, id));
            self.ended_jobs += lease.jobs.len();
            self.ended.push_back((now, id));
        }
        under
    }

    /// When the next live lease expires.
    pub(crate) fn next_expiry(&self) -> Option<Tick> {
        self.expiries.first().map(|&(at, _)| at)
    }

    /// Ends one lease that has expired; answers the slots of its unsettled jobs, and the limits each counted for.
    pub(crate) fn reap(&mut self, now: Tick) -> Option<Vec<(u32, LimitSet)>> {
        let &(expires, id) = self.expiries.first()?;
        if expires > now {
            return None;
        }
        self.expiries.remove(&(expires, id));
        let lease = self.by_id.get_mut(&id)?;
        lease.held = 0;
        self.ended_jobs += lease.jobs.len();
        self.ended.push_back((now, id));
        let held = lease.jobs.iter_mut().filter(|l| l.fate == Fate::Held);
        Some(
            held.map(|l| {
                l.fate = if seeded_bug!("memory_reap_is_no_end") { Fate::Settled } else { Fate::Reaped };
                (l.slot, l.under)
            })
            .collect(),
        )
    }

    /// Forgets leases that ended at or before `until`, and the oldest ones above `max` jobs; at most `limit` leases.
    pub(crate) fn forget(&mut self, until: Option<Tick>, max: usize, limit: usize) -> (u64, bool) {
        for done in 0..limit {
            let over = self.ended_jobs > max;
            match self.ended.front() {
                Some(&(at, id)) if over || until.is_some_and(|until| at <= until) => {
                    self.ended.pop_front();
                    self.ended_jobs -= self.by_id.remove(&id).map_or(0, |l| l.jobs.len());
                }
                _ => return (done as u64, false),
            }
        }
        (limit as u64, true)
    }
}
