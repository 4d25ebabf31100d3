//! Keys that somebody else has replaced or deleted: no call is applied by half, and nothing hangs.

use crate::support::store::Store;
use crate::support::work::{KIND, LONG, QUEUE, claim_for, claim_from, job, jobs, until};
use crate::support::{connect, server};
use backend_redis::RedisBackend;
use job_core::{
    Backend, BackendError, ClaimedJob, DeadReason, Effect, ErrorKind, ErrorReport, IdempotencyKey, JobState,
    LeaseId, ListFilter, MaintainRequest, NewJob, Operate, QueueName, Settlement, UniqueKey, Verdict, When,
};
use std::time::Duration;
use tokio::time::timeout;

/// A queue with something in every key of its layout.
struct Fixture {
    url: String,
    backend: RedisBackend,
    /// Repeated, they meet their receipts.
    batch: Vec<NewJob>,
    other: Vec<NewJob>,
    /// The same keys as those of a stored job.
    rival: NewJob,
    lease: LeaseId,
    held: Vec<ClaimedJob>,
}

fn keyed(key: &str) -> NewJob {
    let mut new = job();
    let (scope, window) = ("s".to_owned(), Duration::from_secs(600));
    new.idempotency = Some(IdempotencyKey { scope: scope.clone(), key: key.into(), window });
    new.unique = Some(UniqueKey { scope, key: key.into() });
    new
}

fn dead() -> Verdict {
    Verdict::Dead { reason: DeadReason::Permanent, error: ErrorReport::new("no") }
}

impl Fixture {
    async fn new() -> Self {
        let url = server().fresh_url();
        let backend = connect(&url).await;
        let mut batch = jobs(9);
        batch[8].when = When::After(LONG);
        backend.enqueue(&batch).await.expect("enqueue works");
        let other = vec![keyed("a"), job(), job()];
        backend.enqueue(&other).await.expect("enqueue works");
        let lease = LeaseId::random();
        let held = claim_from(&backend, &QUEUE, lease, 5, LONG).await.expect("claim works");
        let retry = Verdict::Retry { after: LONG, error: ErrorReport::new("no") };
        let settled = [Settlement::new(held[0].hold, retry), Settlement::new(held[1].hold, dead())];
        backend.settle(&QUEUE, &settled).await.expect("settle works");
        let expired = claim_for(&backend, 2, Duration::from_millis(1)).await.expect("claim works");
        let id = expired[0].hold.lease.as_uuid();
        let mut fixture =
            Self { url, backend, batch, other, rival: keyed("a"), lease, held: held[2..].to_vec() };
        let mut store = fixture.store();
        let x = fixture.tagged("x");
        // What follows from a job, waiting for its queue.
        let outbox = fixture.tagged("o");
        store.ask(&[b"HSET", outbox.as_bytes(), b"0123456789abcdef", b"unreadable"]);
        until("the lease has expired", async || {
            let words: [&[u8]; 4] = [b"EVAL", EXPIRED.as_bytes(), b"1", x.as_bytes()];
            store.ask(&[&words[..], &[id.as_bytes()]].concat()) == redis::Value::Int(1)
        })
        .await;
        fixture.held.truncate(3);
        fixture
    }

    fn store(&self) -> Store {
        Store::of(&self.url)
    }

    fn tagged(&self, suffix: &str) -> String {
        format!("{{{}:q:0}}{suffix}", crate::support::work::prefix_of(&self.url))
    }
}

const EXPIRED: &str = "local t = redis.call('TIME') \
    return tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) < t[1] * 1000 + t[2] / 1000 and 1 or 0";

/// Everything that can be done, by number; `None` after the last.
async fn call(f: &Fixture, number: usize) -> Option<Result<(), BackendError>> {
    let backend = &f.backend;
    let state = |number: usize| {
        [JobState::Ready, JobState::Scheduled, JobState::Retrying, JobState::Running, JobState::Dead][number]
    };
    let outcome = match number {
        0 => backend.enqueue(&f.batch).await.map(drop),
        1 => backend.enqueue(std::slice::from_ref(&f.rival)).await.map(drop),
        2 => backend.enqueue(&[keyed("b"), job()]).await.map(drop),
        3 => backend.extend(&QUEUE, &[f.lease], LONG).await.map(drop),
        4 => backend.settle(&QUEUE, &[Settlement::new(f.held[0].hold, Verdict::Complete)]).await.map(drop),
        5 => backend.settle(&QUEUE, &[Settlement::new(f.held[1].hold, Verdict::Release)]).await.map(drop),
        6 => {
            let other = NewJob::new(KIND, QueueName::from_static("other"), "{}");
            let settlement =
                Settlement { follow_ups: vec![job(), other], ..Settlement::new(f.held[2].hold, dead()) };
            backend.settle(&QUEUE, &[settlement]).await.map(drop)
        }
        7..=11 => backend.list(&ListFilter::new(QUEUE.clone(), state(number - 7))).await.map(drop),
        12 => backend.get(f.batch[8].id).await.map(drop),
        13 => backend.stats(&QUEUE).await.map(drop),
        14 => backend.queues().await.map(drop),
        15 => backend.cancel(f.batch[8].id).await.map(drop),
        16 => backend.replay(&[f.held[2].hold.job, f.batch[1].id]).await.map(drop),
        17 => backend.discard(&[f.batch[1].id]).await.map(drop),
        18 => backend.maintain(&QUEUE, &MaintainRequest::default()).await.map(drop),
        19 => claim_from(backend, &QUEUE, LeaseId::random(), 1, LONG).await.map(drop),
        20 => backend.pause(&QUEUE).await,
        21 => backend.resume(&QUEUE).await,
        22 => backend.enqueue(&f.other).await.map(drop),
        // A process that starts now.
        23 => match RedisBackend::connect(&f.url).await {
            Ok(new) => claim_for(&new, 1, LONG).await.map(drop),
            Err(error) => Err(error),
        },
        _ => return None,
    };
    Some(outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_stops_every_call_that_needs_it_before_it_begins() {
    let count = Fixture::new().await.store().keys().len();
    assert!(count > 18, "a fixture has every key: {count}");
    for number in 0..count {
        let fixture = Fixture::new().await;
        let mut store = fixture.store();
        let key = store.keys()[number].0.clone();
        let was_text = store.ask(&[b"TYPE", key.as_bytes()]) == redis::Value::SimpleString("string".into());
        store.ask(&[b"DEL", key.as_bytes()]);
        let words: [&[u8]; 3] = [if was_text { b"RPUSH" } else { b"SET" }, key.as_bytes(), b"x"];
        store.ask(&words);
        let mut failed = Vec::new();
        for call_number in 0.. {
            let before = store.dump();
            let Some(outcome) = call(&fixture, call_number).await else { break };
            let Err(error) = outcome else { continue };
            failed.push(call_number);
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Permanent, Effect::NotApplied),
                "{key}, call {call_number}: {error}"
            );
            assert!(error.to_string().contains(&key), "{key} is not named by call {call_number}: {error}");
            assert!(before == store.dump(), "{key}, call {call_number} was applied by half: {error}");
        }
        assert!(!failed.is_empty(), "nobody needs {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_breaks_no_call() {
    let count = Fixture::new().await.store().keys().len();
    for number in 0..count {
        let fixture = Fixture::new().await;
        let mut store = fixture.store();
        let key = store.keys()[number].0.clone();
        store.ask(&[b"DEL", key.as_bytes()]);
        for call_number in 0.. {
            let said = timeout(Duration::from_secs(20), call(&fixture, call_number)).await;
            let Some(outcome) = said.unwrap_or_else(|_| panic!("{key}: call {call_number} hangs")) else {
                break;
            };
            outcome.unwrap_or_else(|error| panic!("{key}, call {call_number}: {error}"));
        }
        // What comes is there.
        loop {
            let claimed = claim_for(&fixture.backend, 3, LONG).await.expect("claim works");
            if claimed.is_empty() {
                break;
            }
            for one in claimed {
                let found = fixture.backend.get(one.hold.job).await.expect("get works");
                assert!(found.is_some_and(|record| record.state == JobState::Running), "{key}");
                let done = [Settlement::new(one.hold, Verdict::Complete)];
                fixture.backend.settle(&QUEUE, &done).await.expect("settle works");
            }
        }
        fixture.backend.fsck(&QUEUE, true).await.expect("fsck works");
        let problems = store.problems();
        assert!(problems.is_empty(), "{key}: what fsck left: {problems:#?}");
    }
}
