//! C7: only the store's clock decides.

use crate::{Harness, LONG, QUEUE, job, jobs, report};
use jiff::{SignedDuration, Timestamp};
use job_core::{JobState, Verdict, When};
use std::time::Duration;

/// A delayed job waits, then becomes ready.
pub async fn a_delayed_job_waits(h: &Harness) {
    let mut new = job();
    new.when = When::After(h.units(3));
    h.enqueue_one(&new).await;
    h.maintain().await;
    let record = h.record(new.id).await;
    assert_eq!(record.state, JobState::Scheduled);
    let run_at = record.run_at.expect("it has a time");
    let delay = Duration::try_from(run_at.duration_since(record.enqueued_at)).expect("it is later");
    assert!(delay.abs_diff(h.units(3)) < h.unit() / 10, "it waits {delay:?}");
    assert!(h.take(1).suspects(1).solo().jobs().await.is_empty(), "not yet");
    h.pass(h.units(4)).await;
    h.promote(1).await;
    assert_eq!(h.record(new.id).await.run_at, None);
    assert_eq!(h.take(1).jobs().await.len(), 1);
}

/// A claim that gets jobs tells what the store's clock says, also when it is repeated.
pub async fn a_claim_tells_the_time(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    let enqueued = h.ids(JobState::Ready).await[0];
    let enqueued = h.record(enqueued).await.enqueued_at;
    let take = h.take(1);
    let mut last = Duration::ZERO;
    for claim in [&take, &h.take(1), &take] {
        h.pass(h.units(3)).await;
        let claim = claim.claim().await;
        let now = claim.now.expect("there are jobs, so the time is told");
        let since = Duration::try_from(now.duration_since(enqueued)).expect("it is later");
        let passed = since.saturating_sub(last);
        assert!(passed >= h.units(3) - h.unit() / 10 && passed < h.units(3) * 20, "{passed:?} have passed");
        assert_eq!(claim.jobs.len(), 1);
        last = since;
    }
}

/// No delay, and a time in the past, mean at once, without maintenance.
pub async fn no_delay_and_the_past_mean_at_once(h: &Harness) {
    let mut new = jobs(4);
    new[0].when = When::After(Duration::ZERO);
    new[1].when = When::At(Timestamp::UNIX_EPOCH);
    new[2].when = When::At(Timestamp::from_second(1_000_000_000).expect("in range"));
    h.enqueue(&new).await;
    assert_eq!(h.take(9).jobs().await.len(), 4);
}

/// A job for an instant waits for it.
pub async fn a_job_for_an_instant_waits(h: &Harness) {
    let probe = job();
    h.enqueue_one(&probe).await;
    let now = h.record(probe.id).await.enqueued_at;
    let mut new = job();
    let delay = SignedDuration::try_from(h.units(5)).expect("short");
    new.when = When::At(now.checked_add(delay).expect("near"));
    h.enqueue_one(&new).await;
    h.maintain().await;
    assert_eq!(h.record(new.id).await.state, JobState::Scheduled);
    h.pass(h.units(6)).await;
    h.promote(1).await;
    assert_eq!(h.record(new.id).await.state, JobState::Ready);
}

/// Years are a delay like any other.
pub async fn a_far_future_is_no_problem(h: &Harness) {
    let mut new = jobs(2);
    new[0].when = When::After(Duration::from_secs(100 * 365 * 86_400));
    new[1].when = When::At(Timestamp::from_second(7_000_000_000).expect("in range"));
    h.enqueue(&new).await;
    h.maintain().await;
    assert_eq!(h.stats().await.scheduled, 2);
    assert!(h.take(2).jobs().await.is_empty());
}

/// A retry waits as long as its verdict says, a snooze too.
pub async fn retry_and_snooze_wait(h: &Harness) {
    let verdicts = [
        (Verdict::Retry { after: h.units(3), error: report("e") }, JobState::Retrying, 2),
        (Verdict::Snooze { delay: h.units(3) }, JobState::Scheduled, 1),
    ];
    for (verdict, state, attempt) in verdicts {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        h.apply(hold, verdict).await;
        h.maintain().await;
        let record = h.record(new.id).await;
        assert_eq!((record.state, record.run_at.is_some()), (state, true));
        assert!(h.take(1).jobs().await.is_empty(), "not yet");
        h.pass(h.units(4)).await;
        h.promote(1).await;
        let got = h.take(1).jobs().await.remove(0);
        assert_eq!(got.attempt, attempt, "a retry counts, a snooze does not");
        h.apply(got.hold, Verdict::Complete).await;
    }
}

/// Maintenance says when the next job is due.
pub async fn maintenance_says_what_is_due_next(h: &Harness) {
    assert_eq!(h.maintain().await.next_due, None);
    let mut new = jobs(2);
    new[0].when = When::After(h.units(50));
    new[1].when = When::After(h.units(10));
    h.enqueue(&new).await;
    let due = h.maintain().await.next_due.expect("something is scheduled");
    assert!(due <= h.units(10) && due > h.units(5), "{due:?}");
    h.backend.cancel(new[1].id).await.expect("cancel works");
    let due = h.maintain().await.next_due.expect("something is scheduled");
    assert!(due > h.units(40), "{due:?}");
}

/// Attempts run out: the last failure makes the job dead.
pub async fn the_last_attempt_makes_it_dead(h: &Harness) {
    let mut new = job();
    new.max_attempts = 3;
    h.enqueue_one(&new).await;
    for attempt in 1..=3 {
        let got = h.take(1).jobs().await.remove(0);
        assert_eq!((got.attempt, got.max_attempts), (attempt, 3));
        h.apply(got.hold, Verdict::Retry { after: h.unit(), error: report("e") }).await;
        if attempt < 3 {
            h.pass(h.units(2)).await;
            h.promote(1).await;
        }
    }
    let record = h.record(new.id).await;
    assert_eq!((record.state, record.attempt), (JobState::Dead, 3));
    assert_eq!(record.dead_reason, Some(job_core::DeadReason::Exhausted));
    assert_eq!(h.backend.stats(&QUEUE).await.expect("stats work").dead, 1);
}

/// An unlimited job is never exhausted.
pub async fn unlimited_attempts_never_run_out(h: &Harness) {
    let mut new = job();
    new.max_attempts = u32::MAX;
    h.enqueue_one(&new).await;
    for attempt in 1..=12 {
        let got = h.take(1).jobs().await.remove(0);
        assert_eq!(got.attempt, attempt);
        let after = Duration::from_millis(1);
        h.apply(got.hold, Verdict::Retry { after, error: report(&format!("e{attempt}")) }).await;
        h.pass(after * 2).await;
        h.promote(1).await;
    }
    let errors: Vec<_> = h.record(new.id).await.errors.iter().map(|e| (e.attempt, e.error.clone())).collect();
    let expected: Vec<_> = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12].map(|n| (n, format!("e{n}"))).to_vec();
    assert_eq!(errors, expected, "the first 2 and the last 8 failures are kept");
}

/// A waiter wakes when a job comes that is due soon: it may have looked at what is due just before.
pub async fn a_wait_ends_with_a_job_that_is_due_soon(h: &Harness) {
    if !h.wakes() {
        return;
    }
    // A wake-up that is left over ends a wait at once, so the wait starts until one lasts.
    let queue = QUEUE;
    let mut waiting = h.backend.wait(&queue);
    while tokio::time::timeout(h.units(2), &mut waiting).await.is_ok() {
        waiting = h.backend.wait(&queue);
    }
    let mut soon = job();
    soon.when = When::After(Duration::from_millis(200));
    h.enqueue_one(&soon).await;
    let woken = tokio::time::timeout(LONG, waiting).await;
    woken.expect("who waits hears of it").expect("wait works");
}
