//! When a job is too late.

use super::*;
use crate::backend::{Hold, Suspicion};
use crate::{Headers, JobId, Kind, LeaseId, NewJob, Priority};
use bytes::Bytes;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// A job that the store took at second 100 and gave away at second 105, now.
fn expiry(attempt: u32, headers: &[(&str, &str)]) -> (Option<Expiry>, Instant) {
    let now = Instant::now();
    let job = ClaimedJob {
        hold: Hold { job: JobId::new(), lease: LeaseId::random(), claims: 1, locator: [0; 3] },
        kind: Kind::from_static("k"),
        priority: Priority::NORMAL,
        attempt,
        max_attempts: 3,
        suspicion: Suspicion::None,
        payload: Bytes::new(),
        version: 1,
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<Headers>(),
        idempotency_key: None,
        enqueued_at: instant(100),
    };
    (Expiry::of(&job, Some(StoreClock { said: instant(105), heard: now })), now)
}

const TTL: (&str, &str) = (NewJob::TTL_HEADER, "10000");
const DEADLINE: (&str, &str) = (NewJob::DEADLINE_HEADER, "1970-01-01T00:02:00Z");

#[test]
fn the_time_since_the_claim_counts() {
    let (ttl, now) = expiry(1, &[TTL]);
    let ttl = ttl.expect("it can be too late");
    assert_eq!(ttl.missed(now + Duration::from_millis(4_999)), None);
    assert_eq!(ttl.missed(now + secs(5)), Some(Missed::Ttl));
    let (both, now) = expiry(1, &[TTL, DEADLINE]);
    let both = both.expect("it can be too late");
    assert_eq!(both.missed(now + secs(5)), Some(Missed::Ttl));
    assert_eq!(both.missed(now + secs(15)), Some(Missed::Deadline));
}

#[test]
fn a_ttl_ends_with_the_first_attempt_that_counts() {
    assert!(expiry(2, &[TTL]).0.is_none());
    let (both, now) = expiry(2, &[TTL, DEADLINE]);
    let both = both.expect("it has a deadline");
    assert_eq!((both.missed(now + secs(14)), both.missed(now + secs(15))), (None, Some(Missed::Deadline)));
}

#[test]
fn an_attempt_ends_at_the_deadline() {
    let (expiry, now) = expiry(1, &[DEADLINE]);
    let expiry = expiry.expect("it has a deadline");
    assert_eq!(expiry.timeout(None, now), Some(secs(15)));
    assert_eq!(expiry.timeout(Some(secs(3)), now), Some(secs(3)));
    assert_eq!(expiry.timeout(Some(secs(60)), now + secs(10)), Some(secs(5)));
    assert_eq!(expiry.timeout(None, now + secs(20)), Some(secs(0)));
}

#[test]
fn what_would_come_back_too_late_is_dead() {
    let (expiry, now) = expiry(1, &[DEADLINE]);
    let expiry = expiry.expect("it has a deadline");
    let reason = |verdict| match expiry.judge(verdict, now) {
        Verdict::Dead { reason, .. } => Some(reason),
        _ => None,
    };
    let retry = |n| Verdict::Retry { after: secs(n), error: ErrorReport::new("no route to host") };
    assert_eq!((reason(retry(14)), reason(retry(15))), (None, Some(DeadReason::Expired)));
    let snooze = |n| Verdict::Snooze { delay: secs(n) };
    assert_eq!((reason(snooze(14)), reason(snooze(15))), (None, Some(DeadReason::Expired)));
    assert_eq!(expiry.judge(Verdict::Release, now + secs(99)), Verdict::Release, "the next claim decides");
    let Verdict::Dead { error, .. } = expiry.judge(retry(60), now) else { panic!("it comes back") };
    assert!(error.as_str().contains("no route to host"), "what went wrong is not lost: {error:?}");
}

#[test]
fn jobs_without_an_end_and_stores_without_a_clock_expire_nothing() {
    assert!(expiry(1, &[]).0.is_none());
    assert!(expiry(1, &[("traceparent", "x")]).0.is_none());
}
