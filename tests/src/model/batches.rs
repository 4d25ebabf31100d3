//! Batches in the model. When an end is counted is the store's business, so until a case counts, what waits for it may
//! wait still.

use super::call::{Call, Conflict, List, New, Number};
use super::driver::{Checked, Driver, same, undisturbed, wrong};
use super::plan::news;
use super::reference::{Place, Reference};
use super::world::World;
use crate::LONG;
use job_core::{
    BatchEvent, BatchId, ClaimRequest, JobId, JobState, Kind, LeaseId, MaintainRequest, NewJob, QueueName,
    Settlement, Verdict, When, WorkerId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Members, and whatever waits for their end and for the first death.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) batch: Number,
    pub(super) jobs: Vec<New>,
    /// What waits is in another queue than the members.
    pub(super) elsewhere: bool,
    /// What waits is stored by a call of its own, as of batches that are too large for one.
    pub(super) split: bool,
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elsewhere = if self.elsewhere { ", waited for elsewhere" } else { "" };
        let split = if self.split { ", in two calls" } else { "" };
        write!(f, "b{}{elsewhere}{split} [{}]", self.batch, List(&self.jobs, ""))
    }
}

/// How far a batch has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    members: usize,
    elsewhere: bool,
    ended: BTreeSet<Number>,
    died: BTreeSet<Number>,
    /// What has run, or is known to be dropped.
    over: BTreeSet<Awaited>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    Complete,
    Death,
}

const AWAITED: [Awaited; 2] = [Awaited::Complete, Awaited::Death];

/// What a job that waits may be found as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Scheduled.
    Waits,
    /// Ready, once that has been counted.
    LetGo,
    /// Gone, once that has been counted.
    Dropped,
    Over,
}

impl Progress {
    fn is_complete(&self) -> bool {
        self.ended.len() >= self.members
    }

    fn turn(&self, awaited: Awaited) -> Turn {
        match awaited {
            _ if self.over.contains(&awaited) => Turn::Over,
            Awaited::Complete if self.is_complete() => Turn::LetGo,
            Awaited::Death if !self.died.is_empty() => Turn::LetGo,
            Awaited::Death if self.is_complete() => Turn::Dropped,
            _ => Turn::Waits,
        }
    }
}

impl Reference {
    pub(super) fn open_batch(&mut self, batch: &Batch) {
        self.batches.entry(batch.batch).or_insert_with(|| Progress {
            members: batch.jobs.len(),
            elsewhere: batch.elsewhere,
            ended: BTreeSet::new(),
            died: BTreeSet::new(),
            over: BTreeSet::new(),
        });
    }

    /// A member has got to this place.
    pub(super) fn tell_batch(&mut self, batch: Option<Number>, member: Number, place: Place) {
        let Some(progress) = batch.and_then(|batch| self.batches.get_mut(&batch)) else { return };
        if self.duplicates.contains_key(&member) {
            self.marks.insert("a member is answered by another job");
        }
        match place {
            Place::Dead(_) => drop(progress.died.insert(member)),
            _ => drop(progress.ended.insert(member)),
        }
    }

    fn turns(&self, elsewhere: bool) -> Vec<Turn> {
        let batches = self.batches.values().filter(|progress| progress.elsewhere == elsewhere);
        batches.flat_map(|progress| AWAITED.map(|awaited| progress.turn(awaited))).collect()
    }

    /// How many jobs in the queue of the members have been let go and have not run yet.
    pub(super) fn let_go_by_batches(&self) -> u64 {
        self.turns(false).into_iter().filter(|turn| *turn == Turn::LetGo).count() as u64
    }

    /// Adds the jobs that wait for batches to these numbers of scheduled and of ready jobs, nearest to what there is.
    pub(super) fn add_waiting_for_batches(&self, got: &[u64; 6], expected: &mut [u64; 6]) {
        let turns = self.turns(false);
        let number = |wanted| turns.iter().filter(|turn| **turn == wanted).count() as u64;
        let let_go = number(Turn::LetGo);
        let ready = got[1].saturating_sub(expected[1]).min(let_go);
        let least = number(Turn::Waits) + let_go - ready;
        let scheduled = got[0].saturating_sub(expected[0]).clamp(least, least + number(Turn::Dropped));
        expected[0] += scheduled;
        expected[1] += ready;
    }

    /// What waited and may run has run.
    pub(super) fn run_what_waited(&mut self) {
        let paused = self.paused;
        for number in self.batches.keys().copied().collect::<Vec<_>>() {
            for awaited in AWAITED {
                let Some(progress) = self.batches.get_mut(&number) else { continue };
                let mark = match progress.turn(awaited) {
                    Turn::LetGo if paused && !progress.elsewhere => continue,
                    Turn::LetGo if awaited == Awaited::Complete => "a batch ends",
                    Turn::LetGo => "the death of a member is told",
                    Turn::Dropped => "a batch ends without a death",
                    Turn::Waits | Turn::Over => continue,
                };
                progress.over.insert(awaited);
                self.mark(mark);
            }
        }
    }
}

/// A batch as the store knows it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: BatchId,
    jobs: BTreeMap<Awaited, NewJob>,
}

impl World {
    /// The kind of the jobs that wait for a batch; no case asks for it but when it counts.
    pub(super) const AFTER: Kind = Kind::from_static("conformance-after");

    pub(super) fn waiting(&mut self, batch: Number) -> &mut Waiting {
        let new = || Waiting { id: BatchId::new(), jobs: BTreeMap::new() };
        self.batches.entry(batch).or_insert_with(new)
    }

    fn elsewhere(&self) -> QueueName {
        QueueName::new(format!("{}-after", self.queue.as_str())).expect("it is not too long")
    }

    /// The jobs that wait for it.
    pub(super) fn waiting_for(&mut self, batch: &Batch) -> Vec<NewJob> {
        let queue = if batch.elsewhere { self.elsewhere() } else { self.queue.clone() };
        let members = u32::try_from(batch.jobs.len()).expect("few");
        let waiting = self.waiting(batch.batch);
        for awaited in AWAITED {
            let event = match awaited {
                Awaited::Complete => BatchEvent::Complete,
                Awaited::Death => BatchEvent::Death,
            };
            let when = When::Batch { batch: waiting.id, members, event };
            let new = || {
                let mut job = NewJob::new(Self::AFTER, queue.clone(), "{}");
                job.when = when;
                job
            };
            waiting.jobs.entry(awaited).or_insert_with(new);
        }
        waiting.jobs.values().cloned().collect()
    }

    fn id_of(&self, batch: Number, awaited: Awaited) -> JobId {
        self.batches[&batch].jobs[&awaited].id
    }
}

/// Rounds of maintenance until everything is counted; other cases may be counting at the same time.
const ROUNDS: usize = 50;

impl Driver {
    /// A batch is about to be enqueued: answers what comes in the same call as its members.
    pub(super) async fn open(&mut self, batch: &Batch) -> Checked<Vec<NewJob>> {
        let waiting = self.world.waiting_for(batch);
        if !batch.split {
            return Ok(waiting);
        }
        undisturbed("enqueue", || self.world.backend.enqueue(&waiting)).await?;
        Ok(Vec::new())
    }

    /// Maintains until the ends are counted, and runs what waited for them.
    pub(super) async fn count(&mut self) -> Checked<()> {
        for round in 0..ROUNDS {
            let maintain = Call::Maintain { reap: false, poison_limit: 3, dead_kept: None };
            self.timely(&maintain, false).await?;
            let (elsewhere, request) = (self.world.elsewhere(), MaintainRequest::default());
            undisturbed("maintain", || self.world.backend.maintain(&elsewhere, &request)).await?;
            // What should not happen has more than one round to happen in.
            if round > 0 && self.is_counted().await? {
                return self.run_what_waited().await;
            }
        }
        self.look(true).await?;
        wrong("the ends in batches are not counted")
    }

    async fn is_counted(&self) -> Checked<bool> {
        self.look(false).await?;
        Ok(self.look(true).await.is_ok())
    }

    /// What the store knows of batches is not ahead of the contract.
    pub(super) async fn compare_batches(&mut self) -> Checked<()> {
        self.look(false).await
    }

    /// The numbers of every batch, and the jobs that wait for it; `counted` if the store is not behind either.
    async fn look(&self, counted: bool) -> Checked<()> {
        for (&batch, progress) in &self.reference.batches {
            let id = self.world.batches[&batch].id;
            let known = undisturbed("batch", || self.world.backend.batch(id)).await?;
            let got = known.map(|b| (b.members as usize, b.ended as usize, b.deaths as usize));
            let right = (progress.members, progress.ended.len(), progress.died.len());
            let ahead = |(members, ended, died): (usize, usize, usize)| {
                members != right.0 || ended > right.1 || died > right.2
            };
            let late = if got.is_none() { progress.elsewhere } else { !got.is_some_and(ahead) };
            if counted || !late {
                same(&format!("members, ends and deaths of b{batch}"), &got, &Some(right))?;
            }
            for awaited in AWAITED {
                let id = self.world.id_of(batch, awaited);
                let found = undisturbed("get", || self.world.backend.get(id)).await?.map(|job| job.state);
                let right = match progress.turn(awaited) {
                    Turn::Waits => Some(JobState::Scheduled),
                    Turn::LetGo => Some(JobState::Ready),
                    Turn::Dropped | Turn::Over => None,
                };
                let is_late = progress.turn(awaited) != Turn::Over
                    && (found == Some(JobState::Scheduled) || (found.is_none() && progress.elsewhere));
                if counted || !is_late {
                    same(&format!("what waits for {awaited:?} of b{batch}"), &found, &right)?;
                }
            }
        }
        Ok(())
    }

    async fn run_what_waited(&mut self) -> Checked<()> {
        for elsewhere in [false, true] {
            let mut right: Vec<JobId> = Vec::new();
            for (&batch, progress) in &self.reference.batches {
                let is_there = progress.elsewhere == elsewhere && (elsewhere || !self.reference.paused);
                let let_go = AWAITED.into_iter().filter(|a| is_there && progress.turn(*a) == Turn::LetGo);
                right.extend(let_go.map(|awaited| self.world.id_of(batch, awaited)));
            }
            let queue = if elsewhere { self.world.elsewhere() } else { self.world.queue.clone() };
            let mut ran = self.run_all_after(&queue).await?;
            right.sort_unstable();
            ran.sort_unstable();
            same("jobs that waited for a batch", &ran, &right)?;
        }
        self.reference.run_what_waited();
        Ok(())
    }

    /// Completes what there is of the kind that waits for batches.
    async fn run_all_after(&self, queue: &QueueName) -> Checked<Vec<JobId>> {
        let kinds = [World::AFTER];
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker: WorkerId::random(),
            kinds: &kinds,
            limit: 1_000,
            lease_for: LONG,
            suspect_leases: &[],
            solo: false,
            ahead: &[],
        };
        let jobs = self.claim_for(queue, &request).await?;
        let ends: Vec<_> = jobs.iter().map(|job| Settlement::new(job.hold, Verdict::Complete)).collect();
        undisturbed("settle", || self.world.backend.settle(queue, &ends)).await?;
        Ok(jobs.into_iter().map(|job| job.hold.job).collect())
    }
}

/// A batch of so many members at most, the first of which has this number.
pub(super) fn batch(
    state: &Reference,
    first: Number,
    most: usize,
    keys: bool,
) -> impl Strategy<Value = Batch> + use<> {
    let batch = state.next_batch;
    (news(first, most, keys), prop::bool::weighted(0.3), prop::bool::weighted(0.2)).prop_map(
        move |(mut jobs, elsewhere, split)| {
            for job in &mut jobs {
                job.batch = Some(batch);
                // A call over several queues may be refused in part.
                if job.conflict == Conflict::Error {
                    job.conflict = Conflict::Existing;
                }
            }
            Batch { batch, jobs, elsewhere, split }
        },
    )
}

pub(super) fn calls(state: &Reference) -> BoxedStrategy<Call> {
    batch(state, state.next_job, 3, true).prop_map(Call::Batch).boxed()
}
