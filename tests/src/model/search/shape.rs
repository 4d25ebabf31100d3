//! When two states are the same: up to the names of jobs, workers and leases, and what nobody can ask for any more.

use super::step::{Asked, Event, JOBS, NO_LEASE, Request, WORKERS, ending_number};
use super::system::System;
use super::witness::Final;
use crate::model::reference::{Fate, Lane, Place};
use job_core::{DeadReason, Suspicion};
use std::cmp::Ordering;

/// Leases have numbers below this: two for each of at most ten claims.
const LEASES: usize = 32;

/// Both orders of two.
const ORDERS: [[u8; JOBS]; 2] = [[0, 1], [1, 0]];

/// A worker holds no more than this, and no more requests are late.
const HOLDS: usize = 4;
const LATE: usize = 4;

/// Writes a state down, with new names.
#[derive(Clone)]
struct Scribe<'a> {
    system: &'a System,
    /// The new name of each job; jobs are written in this order, which is its own inverse.
    jobs: [u8; JOBS],
    leases: [u8; LEASES],
    named: u8,
    sum: u64,
}

/// A number for the state: equal for states that are the same, and different, as far as 64 bits go, for others.
pub(super) fn shape(system: &System) -> u64 {
    let mut least = u64::MAX;
    for jobs in ORDERS {
        for workers in ORDERS {
            let mut scribe = Scribe::new(system, jobs);
            workers.into_iter().for_each(|worker| scribe.worker(worker.into()));
            scribe.rest();
            least = least.min(scribe.sum);
        }
    }
    least
}

/// A number for what the store alone knows.
pub(super) fn shape_of_store(system: &System) -> u64 {
    ORDERS
        .map(|jobs| {
            let mut scribe = Scribe::new(system, jobs);
            scribe.store();
            scribe.sum
        })
        .into_iter()
        .fold(u64::MAX, u64::min)
}

/// What the store alone knows, for the calls that can be made to it.
pub(super) struct StoreShape<'a>([Scribe<'a>; 2]);

impl<'a> StoreShape<'a> {
    pub(super) fn new(system: &'a System) -> Self {
        Self(ORDERS.map(|jobs| {
            let mut scribe = Scribe::new(system, jobs);
            // A backend may keep more of its past than it should: leases that are over, and in which order they were.
            for lease in system.store.leases.keys() {
                scribe.lease(*lease as u8);
            }
            scribe.store();
            scribe
        }))
    }

    /// A number for it and a call, if there is one. Which of two jobs a claim takes is the store's choice.
    pub(super) fn with_call(&self, event: Event) -> Option<u64> {
        let asked = self.0[0].system.asked(event)?;
        let mut least = u64::MAX;
        for scribe in &self.0 {
            let mut scribe = scribe.clone();
            match asked {
                Asked::Request(request) => scribe.request(request),
                Asked::Maintain => scribe.add(6 | u64::from(event == Event::PassAndMaintain) << 8),
                Asked::Cancel(job) => scribe.add(7 | scribe.job(job) << 8),
                Asked::Replay(job) => scribe.add(8 | scribe.job(job) << 8),
                Asked::Discard(job) => scribe.add(9 | scribe.job(job) << 8),
            }
            least = least.min(scribe.sum);
        }
        Some(least)
    }
}

fn mix(sum: u64, word: u64) -> u64 {
    // The finalizer of splitmix64 after every word.
    let mut x = sum.rotate_left(17) ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl<'a> Scribe<'a> {
    fn new(system: &'a System, jobs: [u8; JOBS]) -> Self {
        Self { system, jobs, leases: [0; LEASES], named: 0, sum: 0 }
    }

    fn add(&mut self, word: u64) {
        self.sum = mix(self.sum, word);
    }

    fn job(&self, job: u8) -> u64 {
        self.jobs[usize::from(job)].into()
    }

    fn lease(&mut self, lease: u8) -> u64 {
        if lease == NO_LEASE {
            return 0;
        }
        let name = &mut self.leases[usize::from(lease)];
        if *name == 0 {
            self.named += 1;
            *name = self.named;
        }
        (*name).into()
    }

    fn worker(&mut self, worker: usize) {
        let worker = &self.system.workers[worker];
        let mut holds = [(0, 0); HOLDS];
        let holds = &mut holds[..worker.holds.len()];
        holds.copy_from_slice(&worker.holds);
        holds.sort_unstable_by_key(|(job, lease)| (self.jobs[usize::from(*job)], *lease));
        self.add(100 + holds.len() as u64);
        for &mut (job, lease) in holds {
            let word = self.job(job) | self.lease(lease) << 8 | u64::from(lease % 2) << 16;
            self.add(word);
        }
        self.maybe(worker.unknown);
    }

    fn maybe(&mut self, request: Option<Request>) {
        match request {
            None => self.add(1),
            Some(request) => self.request(request),
        }
    }

    fn request(&mut self, request: Request) {
        let word = match request {
            Request::Enqueue(jobs) => {
                let renamed =
                    (0..JOBS as u8).filter(|job| jobs & (1 << job) != 0).map(|job| 1 << self.job(job));
                2 | renamed.fold(0, |a, b: u64| a | b) << 8
            }
            Request::Claim { lease, limit, suspects } => {
                let (lease, next) = (self.lease(lease), self.lease(lease + 1));
                3 | lease << 8 | next << 16 | u64::from(limit) << 24 | u64::from(suspects) << 32
            }
            Request::Settle { job, lease, ending } => {
                4 | self.job(job) << 8 | self.lease(lease) << 16 | ending_number(ending) << 24
            }
            Request::Extend(leases) => {
                5 | self.lease(leases[0]) << 8 | self.lease(leases[1]) << 16 | self.lease(leases[2]) << 24
            }
        };
        self.add(word);
    }

    fn rest(&mut self) {
        self.maybe(self.system.producer);
        let mut late = [Request::Enqueue(0); LATE];
        let late = &mut late[..self.system.late.len()];
        late.copy_from_slice(&self.system.late);
        // Jobs by their new names, leases by their age.
        late.sort_unstable_by_key(|request| match *request {
            Request::Enqueue(jobs) => (0, jobs.count_ones() as u8, (jobs >> self.jobs[0]) & 1),
            Request::Claim { lease, .. } => (1, lease, 0),
            Request::Settle { job, lease, .. } => (2, self.jobs[usize::from(job)], lease),
            Request::Extend(leases) => (3, leases[0], 0),
        });
        self.add(200 + late.len() as u64);
        late.iter().for_each(|request| self.request(*request));
        self.store();
    }

    fn store(&mut self) {
        for job in self.jobs {
            self.life(job);
        }
        let rank = match self.places() {
            [
                Some(Place::Ready { lane: first, turn: one }),
                Some(Place::Ready { lane: second, turn: other }),
            ] if first == second => one.cmp(&other),
            _ => Ordering::Equal,
        };
        self.add(match rank {
            Ordering::Less => 1,
            Ordering::Equal => 2,
            Ordering::Greater => 3,
        });
        self.known_leases();
    }

    fn places(&self) -> [Option<Place>; JOBS] {
        self.jobs.map(|job| self.system.store.jobs.get(&job.into()).map(|job| job.place))
    }

    fn life(&mut self, number: u8) {
        let now = self.system.store.now;
        let life = &self.system.witness.jobs[usize::from(number)];
        let stored = self.system.store.jobs.get(&number.into());
        let place = stored.map_or(0, |job| place_number(job.place, now));
        let counts = stored.map_or(0, |job| u64::from(job.charged) | u64::from(job.crashes) << 4);
        let flags = u64::from(life.acknowledged)
            | u64::from(life.stored) << 1
            | u64::from(life.duplicate) << 2
            | u64::from(life.asked_to_stop) << 3;
        let end = match life.end {
            None => 0,
            Some(Final::Gone) => 1,
            Some(Final::Dead(reason)) => 2 + dead_number(reason),
        };
        let seen = u64::from(life.charged) | u64::from(life.crashes) << 4;
        self.add(place | counts << 8 | flags << 16 | end << 24 | seen << 32);
        let grant = match life.grant {
            None => 0,
            Some(grant) => {
                let suspicion = match grant.suspicion {
                    Suspicion::None => 0,
                    Suspicion::Suspect => 1,
                    Suspicion::Solo => 2,
                };
                1 | suspicion << 1 | u64::from(grant.expires < now) << 3 | self.lease(grant.lease) << 8
            }
        };
        self.add(grant);
    }

    /// Leases that somebody can still name, or that are live.
    fn known_leases(&mut self) {
        for (number, lease) in &self.system.store.leases {
            if lease.is_live() {
                self.lease(*number as u8);
            }
        }
        let mut known = [NO_LEASE; LEASES];
        for (number, name) in self.leases.iter().enumerate().filter(|(_, name)| **name > 0) {
            known[usize::from(*name)] = number as u8;
        }
        let named = usize::from(self.named);
        for number in known.into_iter().skip(1).take(named) {
            let lease = self.system.store.leases.get(&number.into());
            let now = self.system.store.now;
            let mut word =
                lease.map_or(0, |lease| 1 | u64::from(lease.is_live() && lease.expires < now) << 1);
            for job in self.jobs {
                let fate = lease.and_then(|l| l.jobs.iter().find(|(held, _)| *held == usize::from(job)));
                let fate = match fate {
                    None => 0,
                    Some((_, Fate::Held)) => 1,
                    Some((_, Fate::Settled)) => 2,
                    Some((_, Fate::Reaped)) => 3,
                };
                let life = &self.system.witness.jobs[usize::from(job)];
                let seen = (life.granted >> number & 1) | (life.settled >> number & 1) << 1;
                word = word << 4 | fate << 2 | seen;
            }
            self.add(word);
        }
    }
}

fn place_number(place: Place, now: u64) -> u64 {
    let lane = |lane| match lane {
        Lane::Returned => 0,
        Lane::Fresh => 1,
        Lane::Suspect => 2,
        Lane::Solo => 3,
    };
    match place {
        Place::Ready { lane: ready, .. } => 0x10 | lane(ready),
        Place::Waiting { due, retrying } => 0x20 | u64::from(due < now) | u64::from(retrying) << 1,
        Place::Running(held) => 0x30 | lane(held),
        Place::Dead(reason) => 0x40 | dead_number(reason),
        Place::Gone => 0x50,
        Place::Kept => 0x60,
    }
}

fn dead_number(reason: DeadReason) -> u64 {
    DeadReason::ALL.iter().position(|one| *one == reason).unwrap_or(DeadReason::ALL.len()) as u64
}

// Two workers are exchanged by writing them in the other order.
const _: () = assert!(WORKERS == 2 && JOBS == 2);
