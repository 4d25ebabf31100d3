//! What was claimed ahead under a limit: jobs that wait until one of their own lease ends, so that a slot of the limit
//! need not wait for a claim.

use super::pace::WINDOW;
use super::{Lease, QueueCore};
use crate::backend::{Ahead, ClaimedJob};
use crate::seeded_bug;
use crate::verdict::{Settlement, Verdict};
use crate::{Kind, LeaseId};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The jobs of one lease that share slots of a limit.
#[derive(Debug)]
pub(super) struct Shared {
    kind: Kind,
    slots: u32,
    /// Jobs that run or may start at any time.
    taken: u32,
    waiting: VecDeque<ClaimedJob>,
    /// When they were claimed.
    since: Instant,
    /// How many limits this process had closed when the claim was sent.
    closings: u64,
}

impl Shared {
    pub(super) fn new(ahead: Ahead, now: Instant, closings: u64) -> Box<Self> {
        let Ahead { kind, slots } = ahead;
        Box::new(Self { kind, slots, taken: 0, waiting: VecDeque::new(), since: now, closings })
    }

    #[cfg(test)]
    pub(super) fn jobs(&self) -> impl Iterator<Item = crate::JobId> + '_ {
        self.waiting.iter().map(|job| job.hold.job)
    }

    /// Takes the job unless it may start at once.
    fn keep(&mut self, job: ClaimedJob) -> Option<ClaimedJob> {
        if job.kind != self.kind {
            return Some(job);
        }
        if self.taken < self.slots || seeded_bug!("ahead_runs_at_once") {
            self.taken += 1;
            return Some(job);
        }
        self.waiting.push_back(job);
        None
    }

    /// Whether what waits is to go back: the process has closed a limit since, or it should have been through long ago. Others
    /// may have room for it, and what an operator says now does not hold for it.
    fn is_over(&self, now: Instant, closings: u64) -> bool {
        if self.closings != closings && !seeded_bug!("ahead_of_closed_limits") {
            return true;
        }
        now.saturating_duration_since(self.since) >= 2 * WINDOW && !seeded_bug!("ahead_waits_for_ever")
    }

    /// One that was taken has ended, or never started. Returns the next.
    fn ended(&mut self) -> Option<ClaimedJob> {
        let next = self.waiting.pop_front();
        self.taken -= u32::from(next.is_none());
        next
    }
}

impl Lease {
    /// A job of this lease was claimed; returns it if it may start.
    pub(super) fn claimed(&mut self, job: ClaimedJob) -> Option<ClaimedJob> {
        match &mut self.shared {
            Some(shared) => shared.keep(job),
            None => Some(job),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.waiting.len())
    }

    pub(super) fn waiting_mut(&mut self) -> Option<&mut VecDeque<ClaimedJob>> {
        self.shared.as_mut().map(|shared| &mut shared.waiting)
    }
}

/// How long the jobs of kinds under a limit take, to know how many of them are done soon.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<Kind, Duration>);

impl Paces {
    fn ended(&mut self, kind: Kind, took: Duration) {
        let pace = self.0.entry(kind).or_insert(took);
        // Quick to grow, so that others do not find themselves behind slow ones.
        *pace = if took > *pace { took } else { *pace - (*pace - took) / 8 };
    }
}

impl QueueCore {
    /// For each of these kinds how many jobs a slot of a limit may get ahead: as many as it is through within [`WINDOW`].
    pub(crate) fn ahead(&self, kinds: &[Kind]) -> Vec<u32> {
        if self.retry_in.is_none() || self.paces.0.is_empty() {
            return Vec::new();
        }
        let most = self.config.prefetch_max.saturating_sub(self.waiting());
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let of = |kind| {
            let (window, pace) = (WINDOW.as_nanos(), self.paces.0.get(kind)?.as_nanos().max(1_000));
            let jobs = if pace > window { 0 } else { (window + pace / 2) / pace };
            Some(u32::try_from(jobs).unwrap_or(u32::MAX).min(most))
        };
        kinds.iter().map(|kind| of(kind).unwrap_or(0)).collect()
    }

    /// Jobs that wait for one of their own lease.
    pub(super) fn waiting(&self) -> usize {
        self.leases.values().map(Lease::waiting).sum()
    }

    /// A job has ended whose kind may be under a limit.
    pub(super) fn watched_ended(&mut self, now: Instant, id: LeaseId, kind: Kind, took: Duration) {
        self.make_room(now, id, &kind);
        self.paces.ended(kind, took);
    }

    /// A job that could run does not any more: its slot is for the next of its lease, or free.
    pub(super) fn make_room(&mut self, now: Instant, id: LeaseId, kind: &Kind) {
        let closings = self.closings();
        let shared = self.leases.get_mut(&id).and_then(|lease| lease.shared.as_deref_mut());
        let Some(shared) = shared.filter(|shared| shared.kind == *kind) else { return self.freed() };
        let over =
            if shared.is_over(now, closings) { std::mem::take(&mut shared.waiting) } else { VecDeque::new() };
        match shared.ended() {
            Some(next) => self.backlog.push_back(next),
            None => self.freed(),
        }
        self.give_back(over);
    }

    /// How many limits this process has closed. What was claimed before the last one may be under it.
    pub(super) fn closings(&self) -> u64 {
        self.config.closings.load(Ordering::Acquire)
    }

    fn give_back(&mut self, jobs: impl IntoIterator<Item = ClaimedJob>) {
        for job in jobs {
            self.tell(Settlement::new(job.hold, Verdict::Release));
        }
    }

    fn give_back_where(&mut self, which: impl Fn(&Shared) -> bool) {
        let shared = self.leases.values_mut().filter_map(|lease| lease.shared.as_deref_mut());
        let jobs: Vec<_> = shared.filter(|s| which(s)).flat_map(|s| std::mem::take(&mut s.waiting)).collect();
        self.give_back(jobs);
    }

    /// Everything that waits goes back.
    pub(super) fn release_all_waiting(&mut self) {
        if !seeded_bug!("ahead_kept_at_shutdown") {
            self.give_back_where(|_| true);
        }
    }

    /// What should have been through long ago goes back, though nothing has ended that would show it.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        let closings = self.closings();
        self.give_back_where(|shared| shared.is_over(now, closings));
    }
}
