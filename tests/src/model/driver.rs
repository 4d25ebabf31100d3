//! Makes the calls of a case and holds every answer against the reference.

use super::batches::Batch;
use super::call::{Ask, Call, End, Ending, New, Number, Span, Step};
use super::picking::{Seen, text};
use super::reference::{Done, Reference};
use super::time::Timeline;
use super::world::World;
use crate::LONG;
use job_core::{
    BackendError, Claim, ClaimRequest, ClaimedJob, DeadReason, Effect, Enqueued, ErrorReport, Hold, Kept,
    Kind, LeaseId, MaintainRequest, NewJob, QueueName, Settlement, Verdict, WorkerId,
};
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// Why a case ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The backend broke the contract.
    Wrong(String),
    /// A call took so long that the model cannot say when it happened.
    Late,
}

pub(super) type Checked<T> = Result<T, Stop>;

/// Fails with `what` unless both are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Checked<()> {
    if got == expected {
        return Ok(());
    }
    wrong(format!("{what}: the backend says {got:?}, the contract {expected:?}"))
}

pub(super) fn wrong<T>(text: impl Into<String>) -> Checked<T> {
    Err(Stop::Wrong(text.into()))
}

/// How often a call is made that other callers disturb.
const TRIES: usize = 2_000;

/// Makes a call until it is not disturbed; every other error is a failure of the backend.
pub(super) async fn undisturbed<T, F>(what: &str, mut call: impl FnMut() -> F) -> Checked<T>
where
    F: Future<Output = Result<T, BackendError>>,
{
    for _ in 0..TRIES {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(e) if e.is_transient() && e.effect() == Effect::NotApplied => breathe().await,
            Err(e) => return wrong(format!("{what} fails: {e}")),
        }
    }
    wrong(format!("{what} is disturbed for ever"))
}

/// Lets others go on; on a paused clock nobody else is there.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A case under way.
pub(super) struct Driver {
    pub(super) world: World,
    pub(super) reference: Reference,
    pub(super) time: Timeline,
}

impl Driver {
    /// Makes one step.
    pub(super) async fn step(&mut self, step: &Step) -> Checked<()> {
        match step {
            Step::Pass(units) => {
                self.time.pass(*units).await;
                self.reference.now = self.time.now();
                Ok(())
            }
            Step::Compare => self.compare().await,
            Step::Count => self.count().await,
            Step::Call { call, lost } => self.timely(call, *lost).await,
            Step::Crash { ask, poison_limit } => {
                self.timely(&Call::Claim(ask.clone()), false).await?;
                self.time.pass(ask.lasts.0 + 1).await;
                let call = Call::Maintain { reap: true, poison_limit: *poison_limit, dead_kept: None };
                self.timely(&call, false).await
            }
        }
    }

    /// Makes a call at an instant that the reference knows.
    pub(super) async fn timely(&mut self, call: &Call, lost: bool) -> Checked<()> {
        self.time.catch_up().await;
        self.reference.now = self.time.now();
        self.call(call, lost).await?;
        if call.minds_time() && self.time.is_late() { Err(Stop::Late) } else { Ok(()) }
    }

    async fn call(&mut self, call: &Call, lost: bool) -> Checked<()> {
        // A lost answer means the same call once more, for the reference as well.
        let times = if lost { 2 } else { 1 };
        match call {
            Call::Enqueue(jobs) => self.enqueue(None, jobs, times).await,
            Call::Batch(batch) => self.enqueue(Some(batch), &batch.jobs, times).await,
            Call::Claim(ask) => self.claim(ask, times).await,
            Call::Settle(ends) => self.settle(ends, times).await,
            Call::SettleAndClaim(ends, ask) => self.settle_and_claim(ends, ask, times).await,
            Call::Extend { leases, lasts } => self.extend(leases, *lasts, times).await,
            Call::Save { job, lease, edits } => self.save(*job, *lease, edits, times).await,
            Call::Maintain { reap, poison_limit, dead_kept } => {
                self.maintain(*reap, *poison_limit, *dead_kept, times).await
            }
            Call::Cancel(job) => self.cancel(*job, times).await,
            Call::RunNow(job) => self.run_now(*job, times).await,
            Call::Replay(jobs) | Call::Discard(jobs) => {
                let replay = matches!(call, Call::Replay(_));
                self.administer(jobs, replay, times).await
            }
            Call::Pause | Call::Resume => self.pause(matches!(call, Call::Pause), times).await,
            Call::PauseKind(kind) => self.pause_kind(*kind, true, times).await,
            Call::ResumeKind(kind) => self.pause_kind(*kind, false, times).await,
        }
    }

    async fn enqueue(&mut self, batch: Option<&Batch>, jobs: &[New], times: usize) -> Checked<()> {
        let members: Vec<NewJob> = jobs.iter().map(|j| self.world.new_job(j, self.time.unit)).collect();
        let mut new = members.clone();
        let (mut answers, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..times {
            if let Some(refused) = self.reference.refused(jobs) {
                return self.refuse(&new, refused).await;
            }
            if let Some(batch) = batch {
                new = self.open(batch).await?;
                new.extend_from_slice(&members);
                self.reference.open_batch(batch);
            }
            answers = undisturbed("enqueue", || self.world.backend.enqueue(&new)).await?;
            expected = self.reference.enqueue(jobs);
        }
        let waiting = answers.len() - jobs.len();
        let stored = |(answer, job): (&Enqueued, &NewJob)| answer.id == job.id && !answer.deduplicated;
        same("what waits for a batch is stored", &answers.iter().zip(&new).take(waiting).all(stored), &true)?;
        let answers = &answers[waiting..];
        let replaced: Vec<_> = answers.iter().map(|a| a.replaced.map(|old| self.world.name(old))).collect();
        let told: Vec<_> = jobs.iter().map(|new| self.reference.replaced.get(&new.job)).collect();
        same(
            "replaced jobs",
            &replaced,
            &told.into_iter().map(|old| old.map(|old| format!("j{old}"))).collect(),
        )?;
        let answers: Vec<_> = answers.iter().map(|a| (self.world.name(a.id), a.deduplicated)).collect();
        let expected: Vec<_> = expected.into_iter().map(|(job, dup)| (format!("j{job}"), dup)).collect();
        same("enqueue answers", &answers, &expected)
    }

    /// An enqueue that must fail, because a key is taken.
    async fn refuse(&mut self, new: &[NewJob], (job, holder): (Number, Number)) -> Checked<()> {
        let error = self.world.backend.enqueue(new).await.err();
        self.reference.mark("an enqueue is refused");
        let taken = error.as_ref().and_then(|e| e.key_taken());
        let got = taken.map(|t| (self.world.name(t.job), self.world.name(t.holder)));
        same("a refusal", &got, &Some((format!("j{job}"), format!("j{holder}"))))
    }

    async fn settle(&mut self, ends: &[End], times: usize) -> Checked<()> {
        let settlements = self.settlements(ends);
        let (mut answers, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..times {
            answers =
                undisturbed("settle", || self.world.backend.settle(&self.world.queue, &settlements)).await?;
            expected = self.reference.settle(ends);
        }
        same("settle answers", &answers, &expected)
    }

    async fn claim(&mut self, ask: &Ask, times: usize) -> Checked<()> {
        let owned = self.request(ask);
        let mut jobs = Vec::new();
        for _ in 0..times {
            jobs = self.claim_for(&self.world.queue, &owned.request()).await?;
        }
        self.check_claim(ask, &jobs)
    }

    async fn settle_and_claim(&mut self, ends: &[End], ask: &Ask, times: usize) -> Checked<()> {
        let settlements = self.settlements(ends);
        let owned = self.request(ask);
        let (mut answers, mut expected) = (Vec::new(), Vec::new());
        let mut claim = Claim::default();
        for _ in 0..times {
            let request = owned.request();
            (answers, claim) = undisturbed("settle_and_claim", || {
                self.world.backend.settle_and_claim(&self.world.queue, &settlements, &request)
            })
            .await?;
            if claim.contended {
                claim = Claim::new(self.claim_for(&self.world.queue, &request).await?);
            }
            expected = self.reference.settle(ends);
        }
        same("settle_and_claim answers", &answers, &expected)?;
        self.check_claim(ask, &claim.jobs)
    }

    pub(super) async fn claim_for(
        &self,
        queue: &QueueName,
        request: &ClaimRequest<'_>,
    ) -> Checked<Vec<ClaimedJob>> {
        for _ in 0..TRIES {
            let claim = undisturbed("claim", || self.world.backend.claim(queue, request)).await?;
            if !claim.contended {
                return Ok(claim.jobs);
            }
            breathe().await;
        }
        wrong("claim is contended for ever")
    }

    fn check_claim(&mut self, ask: &Ask, jobs: &[ClaimedJob]) -> Checked<()> {
        let mut seen: Vec<Seen> = Vec::new();
        for job in jobs {
            let (number, lease) =
                (self.world.job_number(job.hold.job), self.world.lease_number(job.hold.lease));
            let (Some(number), Some(lease)) = (number, lease) else {
                return wrong(format!("a claim gives a job or a lease that nobody made: {job:?}"));
            };
            seen.push((number, lease));
        }
        let taken = match self.reference.claim(ask, Some(&seen)) {
            Ok(taken) => taken,
            Err(what) => return wrong(format!("the claim gives {}, but {what}", text(&seen))),
        };
        for (job, (number, lease)) in jobs.iter().zip(seen) {
            let Some(right) = taken.iter().find(|t| (t.job, t.lease) == (number, lease)) else {
                return wrong(format!("j{number} came twice"));
            };
            let got = (job.attempt, job.hold.claims, job.suspicion);
            same(
                &format!("attempt, claims and suspicion of j{number}"),
                &got,
                &(right.attempt, right.claims, right.suspicion),
            )?;
            self.world.check_content(number, job)?;
            self.world.holds.insert((number, lease), job.hold);
        }
        Ok(())
    }

    async fn extend(&mut self, leases: &[Number], lasts: Span, times: usize) -> Checked<()> {
        let ids: Vec<LeaseId> = leases.iter().map(|n| self.world.lease(*n)).collect();
        let lease_for = self.time.span(lasts);
        let mut answer = job_core::Extended::default();
        let mut expected = (Vec::new(), std::collections::BTreeSet::new());
        for _ in 0..times {
            answer = undisturbed("extend", || self.world.backend.extend(&self.world.queue, &ids, lease_for))
                .await?;
            expected = self.reference.extend(leases, lasts.after(self.reference.now));
        }
        same("extend answers", &answer.leases, &expected.0)?;
        let mut stop: Vec<_> = answer.cancel.iter().map(|id| self.world.name(*id)).collect();
        stop.sort();
        let mut expected: Vec<_> = expected.1.iter().map(|job| format!("j{job}")).collect();
        expected.sort();
        same("jobs that extend asks to stop", &stop, &expected)
    }

    async fn maintain(
        &mut self,
        reap: bool,
        poison_limit: u32,
        kept: Option<Span>,
        times: usize,
    ) -> Checked<()> {
        let dead_kept = kept.map(|kept| self.time.span(kept));
        let request = MaintainRequest { reap, poison_limit, dead_kept, ..MaintainRequest::default() };
        let mut answer = job_core::Maintained::default();
        let mut expected = Done::default();
        for _ in 0..times {
            answer =
                undisturbed("maintain", || self.world.backend.maintain(&self.world.queue, &request)).await?;
            expected = self.reference.maintain(reap, poison_limit);
            expected.dead_pruned = kept.map_or(0, |kept| self.reference.prune_dead(kept));
        }
        let mut got = Done {
            promoted: answer.promoted,
            leases_reaped: answer.leases_reaped,
            jobs_returned: answer.jobs_returned,
            poisoned: answer.poisoned,
            dead_pruned: answer.dead_pruned,
        };
        // What a batch lets go comes in one of the next rounds.
        let let_go = self.reference.let_go_by_batches();
        got.promoted -= let_go.min(got.promoted.saturating_sub(expected.promoted));
        same("maintain answers", &got, &expected)?;
        same("jobs that an audit found", &answer.repaired, &0)?;
        if let_go > 0 {
            return Ok(());
        }
        same("more to maintain", &answer.more, &false)?;
        self.check_next_due(answer.next_due)
    }

    fn check_next_due(&self, got: Option<Duration>) -> Checked<()> {
        let half = self.time.unit / 2;
        let span = |halves: u64| half * u32::try_from(halves).unwrap_or(u32::MAX);
        // A reap may let a job go that has been due for long; one that looks before that sees it in the next round.
        let due = [self.reference.next_due(), self.reference.due_before_reap].map(|due| due.map(span));
        let near = |due: &Option<Duration>| match (got, due) {
            (Some(got), Some(due)) => got.abs_diff(*due) <= half,
            (got, due) => got.is_none() == due.is_none(),
        };
        if due.iter().any(near) { Ok(()) } else { same("the next due job", &got, &due[0]) }
    }

    async fn cancel(&mut self, job: Number, times: usize) -> Checked<()> {
        let id = self.world.job(job);
        for _ in 0..times {
            let answer = undisturbed("cancel", || self.world.backend.cancel(id)).await?;
            same("cancel answers", &answer, &self.reference.cancel(job))?;
        }
        Ok(())
    }

    fn request(&mut self, ask: &Ask) -> OwnedRequest {
        OwnedRequest {
            lease: self.world.lease(ask.lease),
            kinds: ask.kinds.iter().map(|k| World::kind(*k)).collect(),
            limit: ask.limit,
            lease_for: self.time.span(ask.lasts),
            suspect_leases: ask.suspect_leases.iter().map(|n| self.world.lease(*n)).collect(),
            solo: ask.solo,
        }
    }

    fn settlements(&mut self, ends: &[End]) -> Vec<Settlement> {
        let unit = self.time.unit;
        let mut settlements = Vec::new();
        for end in ends {
            let hold: Hold = self.world.hold(end.job, end.lease);
            let error = || ErrorReport::new(World::ERROR);
            let verdict = match end.ending {
                Ending::Complete => Verdict::Complete,
                Ending::Keep => Verdict::Keep(Box::new(Kept { period: LONG, result: None })),
                Ending::Retry(span) => Verdict::Retry { after: self.time.span(span), error: error() },
                Ending::Snooze(span) => Verdict::Snooze { delay: self.time.span(span) },
                Ending::Release => Verdict::Release,
                Ending::Cancel => Verdict::Cancel,
                Ending::Dead => Verdict::Dead { reason: DeadReason::Permanent, error: error() },
            };
            let mut follow_ups: Vec<_> =
                end.batch.iter().flat_map(|batch| self.world.waiting_for(batch)).collect();
            follow_ups.extend(end.following().map(|job| self.world.new_job(job, unit)));
            settlements.push(Settlement { hold, verdict, follow_ups });
        }
        settlements
    }
}

/// A claim that can be repeated word for word.
struct OwnedRequest {
    lease: LeaseId,
    kinds: Vec<Kind>,
    limit: u32,
    lease_for: Duration,
    suspect_leases: Vec<LeaseId>,
    solo: bool,
}

impl OwnedRequest {
    fn request(&self) -> ClaimRequest<'_> {
        ClaimRequest {
            lease: self.lease,
            worker: WorkerId::random(),
            kinds: &self.kinds,
            limit: self.limit,
            lease_for: self.lease_for,
            suspect_leases: &self.suspect_leases,
            solo: self.solo,
            ahead: &[],
        }
    }
}
