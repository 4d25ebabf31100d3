//! What a store must do, in the plainest code: one map of jobs, one of leases, and every rule where it applies.

use super::batches::Progress;
use super::call::{Call, End, Ending, Instant, New, Number};
use super::keys::NEVER;
use job_core::{Cancelled, DeadReason, JobRecord, JobState, LeaseStatus, Settled, Suspicion};
use std::collections::{BTreeMap, BTreeSet};

/// Which jobs a ready job queues with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Returned,
    Fresh,
    Suspect,
    Solo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `turn` orders the ready ones; equal turns may be taken in any order.
    Ready {
        lane: Lane,
        turn: u64,
    },
    Waiting {
        due: Instant,
        retrying: bool,
    },
    /// With what was held against it when it was claimed.
    Running(Lane),
    Dead(DeadReason),
    /// Completed and kept.
    Kept,
    /// Completed, cancelled or discarded.
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) new: New,
    pub(super) place: Place,
    /// Attempts that count, the running one left out.
    pub(super) charged: u32,
    pub(super) claims: u64,
    pub(super) crashes: u32,
    pub(super) asked_to_stop: bool,
    /// When it died last.
    pub(super) died: Instant,
    /// When the first of those whose place it has came.
    pub(super) came: Instant,
    pub(super) errors: Vec<u32>,
    pub(super) notes: BTreeMap<u8, u8>,
}

impl Job {
    pub(super) fn state(&self) -> Option<JobState> {
        match self.place {
            Place::Ready { .. } => Some(JobState::Ready),
            Place::Waiting { retrying: false, .. } => Some(JobState::Scheduled),
            Place::Waiting { retrying: true, .. } => Some(JobState::Retrying),
            Place::Running(_) => Some(JobState::Running),
            Place::Dead(_) => Some(JobState::Dead),
            Place::Kept => Some(JobState::Completed),
            Place::Gone => None,
        }
    }

    fn is_exhausted(&self) -> bool {
        self.charged >= self.new.max_attempts
    }

    fn fail(&mut self) {
        self.charged += 1;
        if self.errors.len() == JobRecord::FIRST_ERRORS + JobRecord::LAST_ERRORS {
            self.errors.remove(JobRecord::FIRST_ERRORS);
        }
        self.errors.push(self.charged);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Held,
    Settled,
    Reaped,
}

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) jobs: Vec<(Number, Fate)>,
    pub(super) expires: Instant,
}

impl Lease {
    pub(super) fn is_live(&self) -> bool {
        self.jobs.iter().any(|(_, fate)| *fate == Fate::Held)
    }
}

/// What a claim gave of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) job: Number,
    pub(super) lease: Number,
    pub(super) attempt: u32,
    pub(super) claims: u64,
    pub(super) suspicion: Suspicion,
}

/// What maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) promoted: u64,
    pub(super) leases_reaped: u64,
    pub(super) jobs_returned: u64,
    pub(super) poisoned: u64,
    pub(super) dead_pruned: u64,
}

/// The state of the store, as it must be.
#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pub(super) now: Instant,
    pub(super) paused: bool,
    pub(super) paused_kinds: BTreeSet<u8>,
    pub(super) jobs: BTreeMap<Number, Job>,
    /// Jobs that were not stored, and who had their key.
    pub(super) duplicates: BTreeMap<Number, Number>,
    pub(super) leases: BTreeMap<Number, Lease>,
    pub(super) idempotency: BTreeMap<u8, (Number, Instant)>,
    pub(super) unique: BTreeMap<u8, Number>,
    /// Who waits for the end of the job that has a unique key, and when it is due then.
    pub(super) next: BTreeMap<u8, (Number, Instant)>,
    /// Whose place a job has.
    pub(super) replaced: BTreeMap<Number, Number>,
    pub(super) batches: BTreeMap<Number, Progress>,
    /// What was due next when the last maintenance had promoted what was due.
    pub(super) due_before_reap: Option<Instant>,
    turns: u64,
    /// That of every job of the call under way, if their order is loose.
    pub(super) shared_turn: Option<u64>,
    /// What generation has made so far: the calls, for repeats, and numbers not used yet.
    pub(super) history: Vec<Call>,
    pub(super) next_job: Number,
    pub(super) next_lease: Number,
    pub(super) next_batch: Number,
    /// What has happened that a good set of cases must have shown.
    pub(super) marks: BTreeSet<&'static str>,
}

impl Reference {
    pub(super) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Ends a job's life, or lets it wait among the dead: either way its unique key is free.
    pub(super) fn end(&mut self, number: Number, place: Place) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.place = place;
        job.asked_to_stop = false;
        job.died = self.now;
        let batch = job.new.batch;
        let unique = job.new.unique;
        self.tell_batch(batch, number, place);
        if let Some(key) = unique {
            self.let_go(number, key);
        }
    }

    pub(super) fn settle(&mut self, ends: &[End]) -> Vec<Settled> {
        // What comes back together has equal rights.
        let turn = self.next_turn();
        ends.iter().map(|end| self.settle_one(end, turn)).collect()
    }

    fn settle_one(&mut self, end: &End, turn: u64) -> Settled {
        let lease = self.leases.get_mut(&end.lease);
        let held = lease.and_then(|l| l.jobs.iter_mut().find(|(job, _)| *job == end.job));
        match held {
            None | Some((_, Fate::Reaped)) => {
                self.mark("a verdict is stale");
                return Settled::Stale;
            }
            Some((_, Fate::Settled)) => {
                self.mark("a verdict is applied already");
                return Settled::AlreadyApplied;
            }
            Some((_, fate)) => *fate = Fate::Settled,
        }
        self.mark("a verdict is applied");
        self.apply(end.job, end.ending, turn);
        if let Some(batch) = &end.batch {
            self.open_batch(batch);
            self.enqueue(&batch.jobs);
        }
        self.enqueue(&end.follow_ups);
        Settled::Applied
    }

    fn apply(&mut self, number: Number, ending: Ending, turn: u64) {
        let now = self.now;
        let has_next = self.has_next(number);
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let comes_back = matches!(ending, Ending::Retry(_) | Ending::Snooze(_) | Ending::Release);
        if comes_back && job.asked_to_stop {
            self.mark("a job asked to stop comes back");
            return self.end(number, Place::Gone);
        }
        if comes_back && has_next {
            self.mark("a job makes way for a newer one");
            return self.end(number, Place::Gone);
        }
        match ending {
            Ending::Complete | Ending::Cancel => self.end(number, Place::Gone),
            Ending::Keep => {
                job.charged += 1;
                job.crashes = 0;
                self.mark("a job is kept");
                self.end(number, Place::Kept);
            }
            Ending::Dead => {
                job.fail();
                self.end(number, Place::Dead(DeadReason::Permanent));
            }
            Ending::Retry(delay) => {
                job.fail();
                if job.is_exhausted() {
                    self.mark("attempts run out");
                    return self.end(number, Place::Dead(DeadReason::Exhausted));
                }
                job.crashes = 0;
                job.place = Place::Waiting { due: delay.after(now), retrying: true };
            }
            Ending::Snooze(delay) => {
                job.crashes = 0;
                job.place = Place::Waiting { due: delay.after(now), retrying: false };
            }
            Ending::Release => {
                job.crashes = 0;
                job.place = Place::Ready { lane: Lane::Returned, turn };
            }
        }
    }

    /// The answers, and the jobs asked to stop.
    pub(super) fn extend(
        &mut self,
        leases: &[Number],
        until: Instant,
    ) -> (Vec<LeaseStatus>, BTreeSet<Number>) {
        let mut stop = BTreeSet::new();
        let mut answers = Vec::new();
        for number in leases {
            let Some(lease) = self.leases.get_mut(number).filter(|l| l.is_live()) else {
                answers.push(LeaseStatus::Stale);
                continue;
            };
            answers.push(LeaseStatus::Held);
            lease.expires = lease.expires.max(until);
            let held = lease.jobs.iter().filter(|(_, fate)| *fate == Fate::Held).map(|(job, _)| *job);
            stop.extend(held.filter(|job| self.jobs[job].asked_to_stop));
        }
        (answers, stop)
    }

    pub(super) fn maintain(&mut self, reap: bool, poison_limit: u32) -> Done {
        let mut done = Done::default();
        let mut due: BTreeMap<Instant, Vec<Number>> = BTreeMap::new();
        for (number, job) in &self.jobs {
            match job.place {
                Place::Waiting { due: at, .. } if at <= self.now => due.entry(at).or_default().push(*number),
                _ => {}
            }
        }
        for together in due.into_values() {
            let turn = self.next_turn();
            for number in together {
                done.promoted += 1;
                if let Some(job) = self.jobs.get_mut(&number) {
                    job.place = Place::Ready { lane: Lane::Fresh, turn };
                }
            }
        }
        self.due_before_reap = self.next_due();
        if reap {
            self.reap(poison_limit, &mut done);
        }
        done
    }

    fn reap(&mut self, poison_limit: u32, done: &mut Done) {
        let turn = self.next_turn();
        let mut back = Vec::new();
        for lease in self.leases.values_mut().filter(|l| l.is_live() && l.expires < self.now) {
            done.leases_reaped += 1;
            for (job, fate) in lease.jobs.iter_mut().filter(|(_, fate)| *fate == Fate::Held) {
                *fate = Fate::Reaped;
                back.push(*job);
            }
        }
        for number in back {
            let Some(job) = self.jobs.get_mut(&number) else { continue };
            let Place::Running(lane) = job.place else { continue };
            if job.asked_to_stop {
                self.end(number, Place::Gone);
                continue;
            }
            job.crashes += u32::from(lane >= Lane::Suspect);
            job.charged += u32::from(lane == Lane::Solo);
            if lane == Lane::Solo && job.crashes >= poison_limit {
                done.poisoned += 1;
                self.mark("a job is poisoned");
                self.end(number, Place::Dead(DeadReason::Poisoned));
            } else if lane == Lane::Solo && job.is_exhausted() {
                self.end(number, Place::Dead(DeadReason::Exhausted));
            } else {
                let lane = if lane >= Lane::Suspect { Lane::Solo } else { Lane::Suspect };
                job.place = Place::Ready { lane, turn };
                done.jobs_returned += 1;
            }
        }
    }

    pub(super) fn cancel(&mut self, number: Number) -> Cancelled {
        let Some(job) = self.jobs.get_mut(&number) else { return Cancelled::NotFound };
        match job.place {
            Place::Dead(_) | Place::Kept | Place::Gone => Cancelled::NotFound,
            Place::Running(_) => {
                job.asked_to_stop = true;
                Cancelled::Asked
            }
            Place::Ready { .. } | Place::Waiting { .. } => {
                self.end(number, Place::Gone);
                Cancelled::Now
            }
        }
    }

    pub(super) fn replay(&mut self, number: Number) -> bool {
        let turn = self.next_turn();
        let Some(job) = self.jobs.get_mut(&number) else { return false };
        if !matches!(job.place, Place::Dead(_)) {
            return false;
        }
        if let Some(key) = job.new.unique {
            if self.unique.contains_key(&key) {
                self.mark("a replay finds its key taken");
                return false;
            }
            self.unique.insert(key, number);
        }
        job.charged = 0;
        job.crashes = 0;
        job.place = Place::Ready { lane: Lane::Fresh, turn };
        self.mark("a dead job is replayed");
        true
    }

    pub(super) fn discard(&mut self, number: Number) -> bool {
        let dead = self.jobs.get(&number).is_some_and(|j| matches!(j.place, Place::Dead(_)));
        if dead {
            self.end(number, Place::Gone);
        }
        dead
    }

    /// How long until the next waiting job is due, in half units.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |job: &Job| match job.place {
            Place::Waiting { due, .. } if due < NEVER => Some(due.saturating_sub(self.now)),
            _ => None,
        };
        self.jobs.values().filter_map(due).min()
    }
}
