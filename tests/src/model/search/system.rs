//! The searched system: the store, a producer and two workers that believe what they were told, and the requests that
//! are still on their way.

use super::scope::Scope;
use super::step::{Asked, Caller, Event, Fate, JOBS, Move, NO_LEASE, Request, WORKERS};
use super::store::{self, Answer, Defect};
use super::witness::{Kept, Witness};
use crate::model::reference::{Place, Reference};
use job_core::{LeaseStatus, Settled};

/// A job and the lease that a worker believes to hold it by.
pub(super) type Hold = (u8, u8);

/// A worker has two slots, and may hold one suspect more.
const SLOTS: usize = 2;

/// What a worker believes. One that is frozen is one that does nothing while others do.
#[derive(Debug, Clone, Default)]
pub(super) struct Worker {
    pub(super) holds: Vec<Hold>,
    /// Sent, with an unknown outcome: repeated before anything else, and never replaced.
    pub(super) unknown: Option<Request>,
}

#[derive(Clone)]
pub(super) struct System {
    pub(super) store: Reference,
    pub(super) witness: Witness,
    pub(super) workers: [Worker; WORKERS],
    pub(super) producer: Option<Request>,
    pub(super) late: Vec<Request>,
    next_lease: u8,
}

/// A lease for suspects has an odd number.
fn is_suspect(hold: &Hold) -> bool {
    hold.1 % 2 == 1
}

impl System {
    pub(super) fn new() -> Self {
        Self {
            store: Reference::default(),
            witness: Witness::default(),
            workers: [Worker::default(), Worker::default()],
            producer: None,
            late: Vec::new(),
            next_lease: 0,
        }
    }

    // ---- what can happen

    pub(super) fn moves(&self, scope: &Scope) -> Vec<Move> {
        let mut events = Vec::new();
        self.producer_events(scope, &mut events);
        for worker in 0..WORKERS {
            self.worker_events(worker, scope, &mut events);
        }
        events.extend((0..self.late.len()).map(|n| Event::Arrive(n as u8)));
        events.extend([Event::Pass, Event::PassAndMaintain, Event::Maintain]);
        if scope.operate {
            for job in (0..JOBS).map(|job| job as u8) {
                events.extend([Event::Cancel(job), Event::Replay(job), Event::Discard(job)]);
            }
        }
        let choice = self.has_a_choice();
        let mut moves = Vec::with_capacity(2 * events.len());
        for event in events {
            moves.push(Move { event, other: false });
            if choice && matches!(self.asked(event), Some(Asked::Request(Request::Claim { .. }))) {
                moves.push(Move { event, other: true });
            }
        }
        moves
    }

    fn has_room(&self, scope: &Scope) -> bool {
        self.late.len() < scope.late
    }

    fn send(&self, caller: Caller, request: Request, scope: &Scope, events: &mut Vec<Event>) {
        let room = self.has_room(scope);
        let fates = scope.fates(caller).iter().filter(|fate| room || !fate.is_late());
        events.extend(fates.map(|fate| Event::Send(caller, request, *fate)));
    }

    fn repeat(&self, caller: Caller, scope: &Scope, events: &mut Vec<Event>) {
        let room = self.has_room(scope);
        let fates = scope.fates(caller).iter().filter(|fate| room || !fate.is_late());
        events.extend(fates.map(|fate| Event::Repeat(caller, *fate)));
    }

    fn producer_events(&self, scope: &Scope, events: &mut Vec<Event>) {
        if self.producer.is_some() {
            return self.repeat(Caller::Producer, scope, events);
        }
        let mut known = 0u8;
        for (job, life) in self.witness.jobs.iter().enumerate() {
            known |= u8::from(life.acknowledged) << job;
        }
        for jobs in (1..1u8 << JOBS).filter(|jobs| jobs & known == 0) {
            self.send(Caller::Producer, Request::Enqueue(jobs), scope, events);
        }
    }

    fn worker_events(&self, number: usize, scope: &Scope, events: &mut Vec<Event>) {
        let worker = &self.workers[number];
        let (caller, number) = (Caller::Worker(number as u8), number as u8);
        if worker.unknown.is_some() {
            self.repeat(caller, scope, events);
        } else {
            for limit in 1..=SLOTS.saturating_sub(worker.holds.len()) {
                let suspects = !worker.holds.iter().any(is_suspect);
                let claim = Request::Claim { lease: self.next_lease, limit: limit as u8, suspects };
                self.send(caller, claim, scope, events);
            }
            for (job, lease) in worker.holds.iter().copied() {
                for ending in scope.endings.iter().copied() {
                    self.send(caller, Request::Settle { job, lease, ending }, scope, events);
                }
            }
        }
        if worker.unknown.is_some() || !worker.holds.is_empty() {
            events.push(Event::Crash(number));
        }
        if scope.extend && !worker.holds.is_empty() {
            let mut leases = [NO_LEASE; 3];
            for (place, hold) in leases.iter_mut().zip(&worker.holds) {
                *place = hold.1;
            }
            if leases[1] == leases[0] {
                leases[1] = NO_LEASE;
            }
            // Nothing is repeated: an extension that failed is followed by another one.
            events.push(Event::Send(caller, Request::Extend(leases), Fate::Answered));
            if self.has_room(scope) {
                events.push(Event::Send(caller, Request::Extend(leases), Fate::Late));
            }
        }
    }

    /// True if both jobs are ready with equal rights.
    fn has_a_choice(&self) -> bool {
        let place = |job: usize| self.store.jobs.get(&job).map(|job| job.place);
        let first = place(0);
        matches!(first, Some(Place::Ready { .. })) && first == place(1)
    }

    /// What an event asks of the store.
    pub(super) fn asked(&self, event: Event) -> Option<Asked> {
        Some(match event {
            Event::Send(_, _, Fate::Late) | Event::Repeat(_, Fate::Late) | Event::Pass | Event::Crash(_) => {
                return None;
            }
            Event::Send(_, request, _) => Asked::Request(request),
            Event::Repeat(caller, _) => Asked::Request(self.unknown(caller)),
            Event::Arrive(n) => Asked::Request(self.late[usize::from(n)]),
            Event::Maintain | Event::PassAndMaintain => Asked::Maintain,
            Event::Cancel(job) => Asked::Cancel(job),
            Event::Replay(job) => Asked::Replay(job),
            Event::Discard(job) => Asked::Discard(job),
        })
    }

    pub(super) fn unknown(&self, caller: Caller) -> Request {
        let request = match caller {
            Caller::Producer => self.producer,
            Caller::Worker(worker) => self.workers[usize::from(worker)].unknown,
        };
        request.expect("only what is unknown is repeated")
    }

    /// A lease that nobody has, and the next one for a suspect.
    pub(super) fn take_lease(&mut self) -> u8 {
        self.next_lease += 2;
        self.next_lease - 2
    }

    /// An event in words.
    pub(super) fn describe(&self, event: Event, scope: &Scope) -> String {
        let asked = match event {
            Event::Send(_, request, Fate::Late) => Some(Asked::Request(request)),
            Event::Repeat(caller, Fate::Late) => Some(Asked::Request(self.unknown(caller))),
            _ => self.asked(event),
        };
        let call = asked.map(|asked| asked.call(scope.unique).to_string());
        event.to_string().replace("{}", &call.unwrap_or_default())
    }

    // ---- what it does

    /// Lets it happen.
    ///
    /// # Errors
    /// What is wrong then.
    pub(super) fn make(&mut self, chosen: Move, scope: &Scope, defect: Option<&Defect>) -> Kept {
        let Move { event, other } = chosen;
        if matches!(event, Event::Pass | Event::PassAndMaintain) {
            self.store.now += 2;
        }
        let answer = match self.asked(event) {
            None => None,
            Some(asked) => {
                let answer = store::ask(&mut self.store, asked, other, scope.unique, defect);
                self.witness.hear(asked, &answer, &self.store, scope.unique)?;
                Some(answer)
            }
        };
        match event {
            Event::Send(caller, request, fate) => {
                if let Request::Claim { lease, .. } = request {
                    self.next_lease = lease + 2;
                }
                self.after(caller, request, fate, answer.as_ref());
            }
            Event::Repeat(caller, fate) => self.after(caller, self.unknown(caller), fate, answer.as_ref()),
            Event::Arrive(n) => drop(self.late.remove(usize::from(n))),
            Event::Crash(worker) => self.workers[usize::from(worker)] = Worker::default(),
            _ => {}
        }
        Ok(())
    }

    fn after(&mut self, caller: Caller, request: Request, fate: Fate, answer: Option<&Answer>) {
        if matches!(fate, Fate::Late | Fate::Twice) {
            self.late.push(request);
        }
        let learnt = answer.filter(|_| matches!(fate, Fate::Answered | Fate::Twice));
        let Caller::Worker(worker) = caller else {
            self.producer = if learnt.is_some() { None } else { Some(request) };
            if let (Some(_), Request::Enqueue(jobs)) = (learnt, request) {
                for (job, life) in self.witness.jobs.iter_mut().enumerate() {
                    life.acknowledged |= jobs & (1 << job) != 0;
                }
            }
            return;
        };
        let worker = &mut self.workers[usize::from(worker)];
        if matches!(request, Request::Extend(_)) {
            if let Some(Answer::Extended(answers)) = learnt {
                let lost = |lease| answers.contains(&(lease, LeaseStatus::Stale));
                worker.holds.retain(|hold| !lost(hold.1));
            }
            return;
        }
        worker.unknown = if learnt.is_some() { None } else { Some(request) };
        match (learnt, request) {
            (Some(Answer::Claimed(taken)), _) => {
                let holds = taken.iter().map(|taken| (taken.job as u8, taken.lease as u8));
                worker.holds.extend(holds);
            }
            (
                Some(Answer::Settled(Settled::Applied | Settled::AlreadyApplied | Settled::Stale)),
                Request::Settle { job, lease, .. },
            ) => worker.holds.retain(|hold| *hold != (job, lease)),
            _ => {}
        }
    }
}
