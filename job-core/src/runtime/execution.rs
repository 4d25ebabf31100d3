//! The task that runs jobs: decode, run under a timeout, catch panics, say what became of it. All user code runs here.

use super::begin::begin;
use super::burial::bury;
use super::core::Start;
use super::expiry::{Expiry, too_late};
use super::shared::QueueShared;
use super::slots::{Slot, StopReason};
use crate::attempt::Ending;
use crate::backend::{ClaimedJob, Hold};
use crate::chance::Chance;
use crate::context::JobContext;
use crate::job::JobSpec;
use crate::middleware::JobFuture;
use crate::new_job::NewJob;
use crate::outcome::{Action, JobError};
use crate::registry::Registration;
use crate::retry::{Backoff, FailureInfo};
use crate::verdict::{DeadReason, ErrorReport, Kept, Settlement, Verdict};
use crate::{fault_point, seeded_bug};
use bytes::Bytes;
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Runs this job, then whatever else waits in this process, until nothing does.
pub(crate) async fn run_jobs(queue: Arc<QueueShared>, mut start: Start) {
    loop {
        let guard = EndGuard { queue: &queue, slot: start.slot, hold: start.job.hold, ended: false };
        let _ = fault_point!(queue.name.as_str(), "job.started");
        let (verdict, follow_ups) = execute(&queue, &mut start).await;
        let _ = fault_point!(queue.name.as_str(), "job.returned");
        let undecodable = matches!(verdict, Verdict::Dead { reason: DeadReason::Undecodable, .. });
        let next = guard.end(verdict, follow_ups);
        if undecodable && seeded_bug!("undecodable_ends_batch") {
            return;
        }
        let Some(next) = next else { return };
        start = next;
        // Handlers that never wait must not keep other tasks from running.
        tokio::task::consume_budget().await;
    }
}

/// Each started job ends exactly once, whatever happens to its task.
struct EndGuard<'a> {
    queue: &'a Arc<QueueShared>,
    slot: Slot,
    hold: Hold,
    ended: bool,
}

impl EndGuard<'_> {
    fn end(mut self, verdict: Verdict, follow_ups: Vec<NewJob>) -> Option<Start> {
        self.ended = true;
        self.tell(verdict, follow_ups)
    }

    fn tell(&self, verdict: Verdict, follow_ups: Vec<NewJob>) -> Option<Start> {
        let settlement = Settlement { hold: self.hold, verdict, follow_ups };
        let (next, nudge) = self.queue.core().job_ended(Instant::now(), self.slot, settlement);
        self.queue.tell(nudge);
        self.queue.tell_changed();
        next
    }
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        if !self.ended
            && !seeded_bug!("no_end_guard")
            && let Some(next) = self.tell(Verdict::Release, Vec::new())
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.queue.spawn(vec![next]);
        }
    }
}

async fn execute(queue: &QueueShared, start: &mut Start) -> (Verdict, Vec<NewJob>) {
    let job = &start.job;
    let Some(handler) = queue.env.handlers.get(&job.kind) else {
        tracing::error!(job = %job.hold.job, kind = %job.kind, "the store returned a kind that was not asked for");
        return (Verdict::Release, Vec::new());
    };
    let span = tracing::info_span!("job", id = %job.hold.job, kind = %job.kind, queue = %queue.name, attempt = job.attempt);
    attempt(queue, handler, start).instrument(span).await
}

/// One attempt, from what was claimed to the verdict. Nothing that is large is moved: this is done for every job.
async fn attempt(queue: &QueueShared, handler: &Registration, start: &mut Start) -> (Verdict, Vec<NewJob>) {
    let payload = std::mem::take(&mut start.job.payload);
    let Start { slot, job, stop, clock, asked } = &*start;
    let (env, spec) = (&queue.env, handler.spec());
    let ctx = JobContext::new(job, queue.name.clone(), stop.clone(), env);
    let kept = ctx.clone();
    let listener = env.layers.attempt(&kept);
    // Out of the way of the many that are never too late.
    let mut expiry = Expiry::of(job, *clock).map(Box::new);
    let late = match &mut expiry {
        None => None,
        Some(expiry) => Box::pin(too_late(queue, job, expiry)).await,
    };
    let ended = if stop.is_cancelled() {
        // Its task waited so long for a thread that the lease was lost, or the job was cancelled.
        Ended::Dropped
    } else if let Some(late) = late {
        late
    } else {
        match catch_unwind(AssertUnwindSafe(|| begin(env, handler, job, payload, ctx))) {
            Ok(Ok(run)) => {
                let timeout =
                    expiry.as_ref().map_or(spec.timeout, |e| e.timeout(spec.timeout, Instant::now()));
                let limits = Limits { timeout, blocking: spec.blocking };
                supervise(run, &limits, stop, || grace(queue, *slot)).await
            }
            Ok(Err(ended)) => ended,
            Err(panic) => Ended::Panicked(panic_text(&*panic)),
        }
    };
    // Only a job that was asked to stop needs the lock.
    let reason = if stop.is_cancelled() { queue.core().stop_reason(*slot) } else { None };
    let chance = &env.chance;
    // The text of an error and a custom backoff are user code too.
    let verdict = catch_unwind(AssertUnwindSafe(|| verdict(ended, reason, spec, job, chance)))
        .unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            let failure = FailureInfo { attempt: job.attempt, error: &text };
            failed(&text, Some(Backoff::DEFAULT.delay_by(&failure, chance)), spec, job, chance)
        });
    let (mut result, mut in_transaction) = (None, false);
    let (verdict, follow_ups) = match kept.take_ending() {
        None => (verdict, Vec::new()),
        Some(mut ending) => {
            result = ending.result.take();
            in_transaction = ending.completed && verdict == Verdict::Complete;
            settled(verdict, ending, spec, job, chance)
        }
    };
    let verdict = match &expiry {
        Some(expiry) => expiry.judge(verdict, Instant::now()),
        None => verdict,
    };
    let (verdict, follow_ups) = match verdict {
        Verdict::Dead { .. } => bury(queue, spec, job, verdict),
        Verdict::Complete => (completed(spec.keep.max(queue.keep), result), follow_ups),
        other => (other, follow_ups),
    };
    if let Some(listener) = listener {
        listener.ended(&verdict);
    }
    // Its verdict says what holds if the transaction was not committed, which is not what to expect.
    let well = in_transaction && !seeded_bug!("adapt_counts_transactions");
    let seen = if well { &Verdict::Complete } else { &verdict };
    env.downstreams.ended(queue, &job.kind, seen, *asked);
    (verdict, follow_ups)
}

/// The verdict and the jobs that come with it, after what the handler has done through its context.
fn settled(
    verdict: Verdict,
    ending: Ending,
    spec: &JobSpec,
    job: &ClaimedJob,
    chance: &Chance,
) -> (Verdict, Vec<NewJob>) {
    if let Some(text) = ending.in_doubt {
        let error = ErrorReport::new(text);
        return (Verdict::Dead { reason: DeadReason::EffectInDoubt, error }, Vec::new());
    }
    match verdict {
        // If the transaction was committed, this verdict finds the job gone.
        Verdict::Complete if ending.completed && !seeded_bug!("rolled_back_is_complete") => {
            let text = "its transaction was not committed, although the job was completed in it";
            (after_failure(text, None, spec, job, chance), Vec::new())
        }
        Verdict::Complete => (Verdict::Complete, ending.follow_ups),
        other => (other, Vec::new()),
    }
}

fn completed(keep: Option<Duration>, result: Option<Bytes>) -> Verdict {
    match keep {
        Some(period) if !seeded_bug!("completed_not_kept") => {
            Verdict::Keep(Box::new(Kept { period, result }))
        }
        _ => Verdict::Complete,
    }
}

struct Limits {
    timeout: Option<Duration>,
    blocking: bool,
}

/// The time that a handler has after it was asked to stop. Once its lease is lost that is half of the margin that was
/// kept before the end of the lease, so that it has stopped before the job runs elsewhere.
async fn grace(queue: &QueueShared, slot: Slot) {
    let timing = &queue.env.timing;
    let deadline = Instant::now() + timing.cancel_grace;
    let wait = async {
        loop {
            sleep(deadline.saturating_duration_since(Instant::now()).min(timing.lease_for / 10)).await;
            let lost = queue.core().stop_reason(slot) == Some(StopReason::LeaseLost);
            if lost || Instant::now() >= deadline {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = queue.abort.cancelled() => {}
        () = wait => {}
    }
}

/// How an attempt ended.
pub(super) enum Ended {
    Returned(Result<(), JobError>),
    Panicked(String),
    Undecodable(String),
    Expired(&'static str),
    /// Not a matter of the handler: it is looked at again later.
    PutOff(Duration),
    /// Its time was up; with what it returned in the time it was given to stop.
    TimedOut(Duration, Option<Result<(), JobError>>),
    /// It was asked to stop and was dropped.
    Dropped,
}

async fn supervise<F: Future<Output = ()>>(
    run: JobFuture,
    limits: &Limits,
    stop: &CancellationToken,
    grace: impl FnOnce() -> F,
) -> Ended {
    let mut run = AssertUnwindSafe(run).catch_unwind();
    let timeout = async {
        match limits.timeout {
            Some(timeout) if !seeded_bug!("no_timeout") => sleep(timeout).await,
            _ => std::future::pending().await,
        }
    };
    let timed_out = tokio::select! {
        biased;
        ended = &mut run => return returned(ended),
        () = stop.cancelled() => None,
        () = timeout => limits.timeout,
    };
    stop.cancel();
    let late = if limits.blocking && !seeded_bug!("blocking_handler_left") {
        Some((&mut run).await)
    } else {
        // Few are asked to stop, so it takes no room in the task of every job.
        let grace = Box::pin(grace());
        tokio::select! {
            biased;
            ended = &mut run => Some(ended),
            () = grace => None,
        }
    };
    match (late, timed_out) {
        (Some(ended), None) => returned(ended),
        (Some(ended), Some(timeout)) => match returned(ended) {
            Ended::Returned(result) => Ended::TimedOut(timeout, Some(result)),
            other => other,
        },
        (None, timed_out) => {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(run))) {
                return Ended::Panicked(panic_text(&*panic));
            }
            timed_out.map_or(Ended::Dropped, |timeout| Ended::TimedOut(timeout, None))
        }
    }
}

fn returned(ended: Result<Result<(), JobError>, Box<dyn Any + Send>>) -> Ended {
    match ended {
        Ok(result) => Ended::Returned(result),
        Err(_) if seeded_bug!("panic_is_success") => Ended::Returned(Ok(())),
        Err(panic) => Ended::Panicked(panic_text(&*panic)),
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    format!("panicked: {text}")
}

fn verdict(
    ended: Ended,
    reason: Option<StopReason>,
    spec: &JobSpec,
    job: &ClaimedJob,
    chance: &Chance,
) -> Verdict {
    let (text, after) = match ended {
        Ended::Returned(Ok(())) | Ended::TimedOut(_, Some(Ok(()))) => return Verdict::Complete,
        Ended::Undecodable(text) => {
            tracing::error!(error = %text, "job is dead: its arguments cannot be read");
            return Verdict::Dead { reason: DeadReason::Undecodable, error: ErrorReport::new(text) };
        }
        Ended::Expired(text) => {
            tracing::error!(error = %text, "job is dead: it has expired");
            return Verdict::Dead { reason: DeadReason::Expired, error: ErrorReport::new(text) };
        }
        Ended::Dropped => {
            return match reason {
                Some(StopReason::Cancelled) => Verdict::Cancel,
                Some(StopReason::Shutdown | StopReason::LeaseLost) | None => Verdict::Release,
            };
        }
        Ended::PutOff(delay) => return Verdict::Snooze { delay },
        Ended::Panicked(text) => (text, None),
        Ended::TimedOut(timeout, None) => (format!("timed out after {timeout:?}"), None),
        Ended::TimedOut(timeout, Some(Err(error))) => {
            (format!("timed out after {timeout:?}: {}", error.report()), None)
        }
        Ended::Returned(Err(error)) => match (error.action(), reason) {
            (Action::Snooze(delay), _) if may_snooze(spec, job) => return Verdict::Snooze { delay },
            (Action::Snooze(_), _) => {
                let text = "snoozed once more than `snoozes` allows, so it counts as a failure";
                return failed(text, None, spec, job, chance);
            }
            (Action::InDoubt, _) => {
                let error = ErrorReport::new(error.report());
                return Verdict::Dead { reason: DeadReason::EffectInDoubt, error };
            }
            (Action::Permanent, _) if !seeded_bug!("permanent_retried") => {
                let text = error.report();
                tracing::error!(error = %text, "job is dead: permanent error");
                return Verdict::Dead { reason: DeadReason::Permanent, error: ErrorReport::new(text) };
            }
            // Whatever it says, it was most likely asked to stop when it did.
            (_, Some(StopReason::LeaseLost)) | (Action::Cancelled, Some(StopReason::Shutdown)) => {
                return Verdict::Release;
            }
            (Action::Cancelled, _) | (_, Some(StopReason::Cancelled)) => return Verdict::Cancel,
            (Action::RetryAfter(after), _) => (error.report(), Some(after)),
            (Action::Retry | Action::Permanent, _) => (error.report(), None),
        },
    };
    failed(&text, after, spec, job, chance)
}

/// What a store counts is claims and attempts. Those that were no attempts were snoozes, but for a few: jobs that were given
/// back, or that lost their process.
fn may_snooze(spec: &JobSpec, job: &ClaimedJob) -> bool {
    let snoozed = job.hold.claims.saturating_sub(u64::from(job.attempt));
    spec.snoozes == u32::MAX || snoozed < u64::from(spec.snoozes) || seeded_bug!("snoozes_for_ever")
}

fn failed(text: &str, after: Option<Duration>, spec: &JobSpec, job: &ClaimedJob, chance: &Chance) -> Verdict {
    let verdict = after_failure(text, after, spec, job, chance);
    match &verdict {
        Verdict::Retry { after, .. } => tracing::warn!(error = %text, ?after, "job failed, will retry"),
        _ => tracing::error!(error = %text, attempts = job.attempt, "job is dead: no attempt is left"),
    }
    verdict
}

fn after_failure(
    text: &str,
    after: Option<Duration>,
    spec: &JobSpec,
    job: &ClaimedJob,
    chance: &Chance,
) -> Verdict {
    let error = ErrorReport::new(text);
    if job.attempt >= job.max_attempts && !(after.is_some() && seeded_bug!("retry_after_unlimited")) {
        return Verdict::Dead { reason: DeadReason::Exhausted, error };
    }
    let failure = FailureInfo { attempt: job.attempt, error: text };
    let after = after.unwrap_or_else(|| spec.backoff.delay_by(&failure, chance));
    Verdict::Retry { after, error }
}

#[cfg(test)]
#[path = "execution_tests.rs"]
mod tests;
