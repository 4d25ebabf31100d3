//! From how an attempt ended to its verdict.

use super::*;
use crate::{Headers, JobId, Kind, LeaseId, Priority};
use bytes::Bytes;
use jiff::Timestamp;

const SOON: Duration = Duration::from_secs(3);

fn job(attempt: u32) -> ClaimedJob {
    ClaimedJob {
        hold: Hold { job: JobId::new(), lease: LeaseId::random(), claims: 1, locator: [0; 3] },
        kind: Kind::from_static("k"),
        priority: Priority::NORMAL,
        attempt,
        max_attempts: 3,
        suspicion: crate::backend::Suspicion::None,
        payload: Bytes::new(),
        version: 1,
        headers: Headers::new(),
        idempotency_key: None,
        enqueued_at: Timestamp::UNIX_EPOCH,
    }
}

fn spec() -> JobSpec {
    let mut spec = JobSpec::new(Kind::from_static("k"));
    spec.backoff = crate::Backoff::Fixed(Duration::from_secs(7));
    spec
}

fn told(ended: Ended, reason: Option<StopReason>) -> Verdict {
    verdict(ended, reason, &spec(), &job(1), &Chance::default())
}

fn failed_with(error: JobError) -> Ended {
    Ended::Returned(Err(error))
}

#[test]
fn no_failure_is_retried_after_the_last_attempt() {
    let failures: [fn() -> Ended; 5] = [
        || failed_with("e".into()),
        || failed_with(JobError::retry_after("e", SOON)),
        || Ended::Panicked("e".into()),
        || Ended::TimedOut(SOON, None),
        || Ended::TimedOut(SOON, Some(Err("e".into()))),
    ];
    for failure in failures {
        let before = verdict(failure(), None, &spec(), &job(2), &Chance::default());
        assert!(matches!(before, Verdict::Retry { .. }), "{before:?}");
        let last = verdict(failure(), None, &spec(), &job(3), &Chance::default());
        assert!(matches!(last, Verdict::Dead { reason: DeadReason::Exhausted, .. }), "{last:?}");
    }
}

#[test]
fn a_delay_of_the_handler_goes_before_the_backoff() {
    let delay = |ended| match told(ended, None) {
        Verdict::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(delay(failed_with("e".into())), Duration::from_secs(7));
    assert_eq!(delay(failed_with(JobError::retry_after("e", SOON))), SOON);
}

#[test]
fn a_job_that_was_dropped_ends_as_it_was_asked_to() {
    assert_eq!(told(Ended::Dropped, Some(StopReason::Cancelled)), Verdict::Cancel);
    assert_eq!(told(Ended::Dropped, Some(StopReason::Shutdown)), Verdict::Release);
    assert_eq!(told(Ended::Dropped, None), Verdict::Release);
    let lost = told(Ended::Dropped, Some(StopReason::LeaseLost));
    assert_eq!(lost, Verdict::Release, "the store knows whether it runs elsewhere by now");
}

#[test]
fn an_error_of_a_job_that_was_asked_to_stop_is_no_failure() {
    let cancelled = || failed_with(JobError::cancelled());
    assert_eq!(told(cancelled(), Some(StopReason::Shutdown)), Verdict::Release);
    assert_eq!(told(cancelled(), Some(StopReason::Cancelled)), Verdict::Cancel);
    assert_eq!(told(failed_with("e".into()), Some(StopReason::Cancelled)), Verdict::Cancel);
    let shutdown = told(failed_with("e".into()), Some(StopReason::Shutdown));
    assert!(matches!(shutdown, Verdict::Retry { .. }), "it failed by itself: {shutdown:?}");
}

#[test]
fn a_job_that_snoozes_too_often_has_failed() {
    let (mut spec, mut job) = (spec(), job(2));
    spec.snoozes = 3;
    let snoozes = |spec: &JobSpec, job: &ClaimedJob| {
        let ended = failed_with(JobError::snooze(SOON));
        verdict(ended, None, spec, job, &Chance::default())
    };
    job.hold.claims = 4; // an attempt that failed, two snoozes, and this one
    assert_eq!(snoozes(&spec, &job), Verdict::Snooze { delay: SOON });
    job.hold.claims = 5;
    let Verdict::Retry { error, .. } = snoozes(&spec, &job) else { panic!("it does not count") };
    assert!(error.as_str().contains("snooze"), "{error:?}");
    assert_eq!(
        verdict(Ended::PutOff(SOON), None, &spec, &job, &Chance::default()),
        Verdict::Snooze { delay: SOON },
        "a job of a newer version waits for newer code however long that takes"
    );
    spec.snoozes = u32::MAX;
    job.hold.claims = u64::MAX;
    assert_eq!(snoozes(&spec, &job), Verdict::Snooze { delay: SOON });
}
