//! Claim.

use crate::clock::Tick;
use crate::job::Place;
use crate::lanes::{LANES, Lanes, Suspects};
use crate::leases::{Fate, Leased, Leases};
use crate::queue::Queue;
use crate::state::State;
use crate::table::Table;
use job_core::{Claim, ClaimRequest, ClaimedJob, LeaseId, Priority, QueueName, WorkerId, seeded_bug};

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
        let kinds: Vec<u32> = request.kinds.iter().filter_map(|k| queue.claimable(k)).collect();
        let expires = now.saturating_add(request.lease_for);
        let mut claimer = Claimer { table: &mut self.table, expires, worker: request.worker };
        let mut jobs = claimer.take_normal(queue, &kinds, request);
        let normal = jobs.len();
        claimer.take_suspects(queue, &kinds, request, &mut jobs);
        if (jobs.len() == normal || seeded_bug!("memory_solo_in_company")) && request.solo {
            claimer.take_solo(queue, &kinds, request, &mut jobs);
        }
        Claim::new(jobs)
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

struct Claimer<'a> {
    table: &'a mut Table,
    expires: Tick,
    worker: WorkerId,
}

impl Claimer<'_> {
    /// Makes a job running; the lease is granted by the caller.
    fn take(&mut self, slot: u32, lease: LeaseId, index: usize) -> Option<(Leased, ClaimedJob)> {
        let job = self.table.get_mut(slot)?;
        job.place = Place::Running;
        job.claims += 1;
        Some((Leased { job: job.id, slot, fate: Fate::Held }, job.claimed(lease, slot, index)))
    }

    fn take_normal(
        &mut self,
        queue: &mut Queue,
        kinds: &[u32],
        request: &ClaimRequest<'_>,
    ) -> Vec<ClaimedJob> {
        let limit = request.limit as usize;
        let kinds: Vec<u32> =
            kinds.iter().copied().filter(|&k| !queue.lanes[k as usize].is_empty()).collect();
        if kinds.is_empty() {
            return Vec::new();
        }
        let ready: usize = kinds.iter().map(|&k| queue.lanes[k as usize].ready()).sum();
        let mut leased = Vec::with_capacity(limit.min(ready));
        let mut jobs = Vec::with_capacity(limit.min(ready));
        for lane in 0..LANES {
            while jobs.len() < limit {
                let Some((kind, until)) = next_run(&mut queue.lanes, &kinds, lane, self.table) else { break };
                let lanes = &mut queue.lanes[kind as usize];
                while jobs.len() < limit && lanes.head(lane, self.table).is_some_and(|seq| seq < until) {
                    let Some(slot) = lanes.pop(lane) else { break };
                    if let Some((l, job)) = self.take(slot, request.lease, jobs.len()) {
                        leased.push(l);
                        jobs.push(job);
                    }
                }
            }
        }
        if !leased.is_empty() {
            queue.leases.grant(request.lease, self.worker, leased, self.expires);
        }
        jobs
    }

    fn take_suspects(
        &mut self,
        queue: &mut Queue,
        kinds: &[u32],
        request: &ClaimRequest<'_>,
        jobs: &mut Vec<ClaimedJob>,
    ) {
        for &lease in request.suspect_leases {
            let Some(slot) = pop_first(&mut queue.lanes, kinds, |l| &mut l.suspects) else { return };
            self.take_alone(queue, slot, lease, jobs);
        }
    }

    fn take_solo(
        &mut self,
        queue: &mut Queue,
        kinds: &[u32],
        request: &ClaimRequest<'_>,
        jobs: &mut Vec<ClaimedJob>,
    ) {
        let Some(&lease) = request.suspect_leases.first() else { return };
        if let Some(slot) = pop_first(&mut queue.lanes, kinds, |l| &mut l.solo) {
            self.take_alone(queue, slot, lease, jobs);
        }
    }

    fn take_alone(&mut self, queue: &mut Queue, slot: u32, lease: LeaseId, jobs: &mut Vec<ClaimedJob>) {
        if let Some((leased, job)) = self.take(slot, lease, 0) {
            queue.leases.grant(lease, self.worker, vec![leased], self.expires);
            jobs.push(job);
        }
    }
}

/// The kind whose job is next in this lane, and the seq at which another kind's turn comes: jobs of one kind often
/// stand together, and are then taken without comparing again.
fn next_run(lanes: &mut [Lanes], kinds: &[u32], lane: usize, table: &Table) -> Option<(u32, u64)> {
    let mut first: Option<(u64, u32)> = None;
    let mut until = u64::MAX;
    for &kind in kinds {
        let Some(seq) = lanes[kind as usize].head(lane, table) else { continue };
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
fn pop_first(lanes: &mut [Lanes], kinds: &[u32], of: fn(&mut Lanes) -> &mut Suspects) -> Option<u32> {
    let mut first: Option<((Priority, u64), u32)> = None;
    for &kind in kinds {
        if let Some((&key, _)) = of(&mut lanes[kind as usize]).first_key_value()
            && first.is_none_or(|(best, _)| key < best)
        {
            first = Some((key, kind));
        }
    }
    let (key, kind) = first?;
    of(&mut lanes[kind as usize]).remove(&key)
}
