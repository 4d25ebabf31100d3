//! Claim.

use crate::clock::Tick;
use crate::job::Place;
use crate::lanes::{LANES, Lanes, Suspects};
use crate::leases::{Fate, Leased, Leases};
use crate::limits::{Budgets, LimitSet, Limiters};
use crate::queue::Queue;
use crate::state::State;
use crate::table::Table;
use job_core::{Claim, ClaimRequest, ClaimedJob, Kind, LeaseId, Priority, QueueName, WorkerId, seeded_bug};
use std::time::Duration;

/// How soon to ask again for what waits in lines that others may free; they will have asked themselves.
const LINES_AGAIN: Duration = Duration::from_secs(1);

impl State {
    pub(crate) fn claim(&mut self, queue: &QueueName, request: &ClaimRequest<'_>, now: Tick) -> Claim {
        let mut claim = self.claim_jobs(queue, request, now);
        claim.now = Some(self.clock.wall(now)).filter(|_| !seeded_bug!("memory_no_clock"));
        claim
    }

    fn claim_jobs(&mut self, queue: &QueueName, request: &ClaimRequest<'_>, now: Tick) -> Claim {
        let Some(number) = self.queue_number(queue) else { return Claim::default() };
        let queue = &mut self.queues[number as usize];
        if let Some(jobs) = repeated(&queue.leases, &self.table, request) {
            return Claim::new(jobs);
        }
        if queue.paused {
            return Claim::default();
        }
        let kinds: Vec<Wanted> =
            request.kinds.iter().filter_map(|k| wanted(queue, k, &mut self.limiters)).collect();
        let expires = now.saturating_add(request.lease_for);
        let budgets = Budgets::new(&mut self.limiters, now);
        let mut claimer = Claimer { table: &mut self.table, budgets, expires, now, worker: request.worker };
        let mut jobs = claimer.take_normal(queue, &kinds, request);
        let normal = jobs.len();
        claimer.take_suspects(queue, &kinds, request, &mut jobs);
        if (jobs.len() == normal || seeded_bug!("memory_solo_in_company")) && request.solo {
            claimer.take_solo(queue, &kinds, request, &mut jobs);
        }
        let retry_in = claimer.left_behind(queue, &kinds);
        let mut claim = Claim::new(jobs);
        claim.retry_in = retry_in;
        claim
    }
}

/// The jobs of an earlier claim with these ids, if there was one that got any.
fn repeated(leases: &Leases, table: &Table, request: &ClaimRequest<'_>) -> Option<Vec<ClaimedJob>> {
    let mut found = false;
    let mut jobs = Vec::new();
    for &id in std::iter::once(&request.lease).chain(request.suspect_leases) {
        let Some(lease) = leases.get(id) else { continue };
        found = true;
        for (index, leased) in lease.jobs.iter().enumerate().filter(|(_, l)| l.fate == Fate::Held) {
            jobs.extend(table.get(leased.slot).map(|j| j.claimed(id, leased.slot, index)));
        }
    }
    found.then_some(jobs)
}

/// A kind that may be claimed, and the limits it is under.
#[derive(Clone, Copy)]
struct Wanted {
    kind: u32,
    under: LimitSet,
}

fn wanted(queue: &mut Queue, kind: &Kind, limiters: &mut Limiters) -> Option<Wanted> {
    let number = queue.claimable(kind)?;
    let under = if limiters.is_empty() { 0 } else { queue.limit_set(number, kind, limiters) };
    Some(Wanted { kind: number, under })
}

/// What the shared lease gets.
struct Taken {
    leased: Vec<Leased>,
    jobs: Vec<ClaimedJob>,
}

struct Claimer<'a> {
    table: &'a mut Table,
    budgets: Budgets<'a>,
    expires: Tick,
    now: Tick,
    worker: WorkerId,
}

impl Claimer<'_> {
    /// Makes a job running; the lease is granted by the caller.
    fn take(
        &mut self,
        slot: u32,
        lease: LeaseId,
        index: usize,
        under: LimitSet,
    ) -> Option<(Leased, ClaimedJob)> {
        let job = self.table.get_mut(slot)?;
        job.place = Place::Running;
        job.claims += 1;
        self.budgets.take(under);
        Some((Leased { job: job.id, slot, fate: Fate::Held, under }, job.claimed(lease, slot, index)))
    }

    fn take_normal(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        request: &ClaimRequest<'_>,
    ) -> Vec<ClaimedJob> {
        let limit = request.limit as usize;
        let ready: usize = kinds.iter().map(|w| queue.lanes[w.kind as usize].ready()).sum();
        let room = limit.min(ready + queue.lines.waiting());
        let mut taken = Taken { leased: Vec::with_capacity(room), jobs: Vec::with_capacity(room) };
        if queue.lines.waiting() > 0 {
            queue.lines.catch_up(self.now);
            // Each sort gets half of what is asked for and of what limits leave; the odd job is now of the one, now of the other.
            let odd = u32::from(queue.odd_to_line);
            if !seeded_bug!("memory_lines_take_all_slots") {
                self.budgets.reserve_half(kinds.iter().map(|w| w.under), odd);
            }
            self.take_from_lines(queue, kinds, request.lease, (limit + odd as usize) / 2, &mut taken);
            self.budgets.release_half();
        }
        self.take_from_lanes(queue, kinds, request.lease, limit, &mut taken);
        if queue.lines.waiting() > 0 {
            self.take_from_lines(queue, kinds, request.lease, limit, &mut taken);
        }
        if !taken.leased.is_empty() {
            // Not for a claim that finds nothing: every second one may be of that sort.
            queue.odd_to_line = !queue.odd_to_line;
            queue.leases.grant(request.lease, self.worker, taken.leased, self.expires);
        }
        taken.jobs
    }

    fn take_from_lanes(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        lease: LeaseId,
        limit: usize,
        taken: &mut Taken,
    ) {
        let mut kinds: Vec<Wanted> =
            kinds.iter().copied().filter(|w| !queue.lanes[w.kind as usize].is_empty()).collect();
        let limited = kinds.iter().any(|w| w.under != 0);
        if kinds.is_empty() {
            return;
        }
        for lane in 0..LANES {
            while taken.jobs.len() < limit {
                if limited {
                    kinds.retain(|w| self.budgets.left(w.under) > 0);
                }
                let next = next_run(&mut queue.lanes, &kinds, lane, self.table);
                let Some((Wanted { kind, under }, until)) = next else { break };
                let lanes = &mut queue.lanes[kind as usize];
                while taken.jobs.len() < limit
                    && (under == 0 || self.budgets.left(under) > 0)
                    && lanes.head(lane, self.table).is_some_and(|seq| seq < until)
                {
                    let Some(slot) = lanes.pop(lane) else { break };
                    if let Some((leased, job)) = self.take(slot, lease, taken.jobs.len(), under) {
                        taken.leased.push(leased);
                        taken.jobs.push(job);
                    }
                }
            }
        }
    }

    fn take_from_lines(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        lease: LeaseId,
        limit: usize,
        taken: &mut Taken,
    ) {
        while taken.jobs.len() < limit {
            let open = kinds.iter().filter(|w| self.budgets.left(w.under) > 0).map(|w| w.kind);
            let Some(kind) = queue.lines.next(open) else { return };
            let Some(slot) = queue.lines.pop(kind, self.table, self.now) else { return };
            let under = kinds.iter().find(|w| w.kind == kind).map_or(0, |w| w.under);
            if let Some((leased, job)) = self.take(slot, lease, taken.jobs.len(), under) {
                taken.leased.push(leased);
                taken.jobs.push(job);
                if let Some(job) = self.table.get_mut(slot) {
                    job.go_out();
                }
            }
        }
    }

    fn take_suspects(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        request: &ClaimRequest<'_>,
        jobs: &mut Vec<ClaimedJob>,
    ) {
        for &lease in request.suspect_leases {
            if !self.take_alone(queue, kinds, |l| &mut l.suspects, lease, jobs) {
                return;
            }
        }
    }

    fn take_solo(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        request: &ClaimRequest<'_>,
        jobs: &mut Vec<ClaimedJob>,
    ) {
        if let Some(&lease) = request.suspect_leases.first() {
            self.take_alone(queue, kinds, |l| &mut l.solo, lease, jobs);
        }
    }

    /// Takes the first of some suspects under a lease of its own; false if there is none.
    fn take_alone(
        &mut self,
        queue: &mut Queue,
        kinds: &[Wanted],
        of: fn(&mut Lanes) -> &mut Suspects,
        lease: LeaseId,
        jobs: &mut Vec<ClaimedJob>,
    ) -> bool {
        let open = kinds.iter().filter(|w| self.budgets.left(w.under) > 0);
        let open: Vec<Wanted> = open.copied().collect();
        let Some((slot, under)) = pop_first(&mut queue.lanes, &open, of) else { return false };
        if let Some((leased, job)) = self.take(slot, lease, 0, under) {
            queue.leases.grant(lease, self.worker, vec![leased], self.expires);
            jobs.push(job);
        }
        true
    }

    /// When to ask again for what limits and lines have kept back.
    fn left_behind(&mut self, queue: &Queue, kinds: &[Wanted]) -> Option<Duration> {
        let in_lines = queue.lines.waiting() > 0;
        for w in kinds.iter().filter(|w| w.under != 0) {
            if (in_lines || queue.lanes[w.kind as usize].ready() > 0) && self.budgets.left(w.under) == 0 {
                self.budgets.leave(w.under);
            }
        }
        if in_lines {
            let later = self.now.saturating_add(LINES_AGAIN);
            self.budgets.retry_at(queue.lines.next_time().map_or(later, |at| at.min(later)));
        }
        self.budgets.retry_in()
    }
}

/// The kind whose job is next in this lane, and the seq at which another kind's turn comes: jobs of one kind often
/// stand together, and are then taken without comparing again.
fn next_run(lanes: &mut [Lanes], kinds: &[Wanted], lane: usize, table: &Table) -> Option<(Wanted, u64)> {
    let mut first: Option<(u64, Wanted)> = None;
    let mut until = u64::MAX;
    for &kind in kinds {
        let Some(seq) = lanes[kind.kind as usize].head(lane, table) else { continue };
        match first {
            // The same kind named twice.
            Some((best, _)) if best == seq => {}
            Some((best, _)) if best < seq => until = until.min(seq),
            _ => {
                until = first.map_or(until, |(best, _)| until.min(best));
                first = Some((seq, kind));
            }
        }
    }
    first.map(|(_, kind)| (kind, until))
}

/// Takes the first of the suspects of these kinds.
fn pop_first(
    lanes: &mut [Lanes],
    kinds: &[Wanted],
    of: fn(&mut Lanes) -> &mut Suspects,
) -> Option<(u32, LimitSet)> {
    let mut first: Option<((Priority, u64), Wanted)> = None;
    for &kind in kinds {
        if let Some((&key, _)) = of(&mut lanes[kind.kind as usize]).first_key_value()
            && first.is_none_or(|(best, _)| key < best)
        {
            first = Some((key, kind));
        }
    }
    let (key, wanted) = first?;
    let slot = of(&mut lanes[wanted.kind as usize]).remove(&key)?;
    Some((slot, wanted.under))
}
