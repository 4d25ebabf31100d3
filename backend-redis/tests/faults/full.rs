//! The server's memory is full: nothing is taken in, and everything that is there can be worked off.

use crate::support::connect;
use crate::support::store::Store;
use crate::support::work::{
    KIND, LONG, QUEUE, claim_for, drain, enqueue_one, job, jobs, reap, settle, until,
};
use crate::{fast, start};
use backend_redis::RedisBackend;
use job_conformance::servers::RedisServer;
use job_core::{
    Backend, BackendError, Cancelled, Client, DeadFilter, DeadReason, Discard, Effect, ErrorKind,
    ErrorReport, IdempotencyKey, JobState, LeaseId, LeaseStatus, ListFilter, MaintainRequest, NewJob,
    Operate, QueueName, Settled, Settlement, UniqueKey, Verdict, When,
};
use std::time::Duration;

fn limit(server: &RedisServer, bytes: u64) {
    assert_eq!(server.cli(&["config", "set", "maxmemory", &bytes.to_string()]), "OK");
}

fn used(server: &RedisServer) -> u64 {
    let info = server.cli(&["info", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says so");
    used.trim().parse().expect("a number")
}

fn assert_full(error: &BackendError) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Transient, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("OOM"), "{error}");
}

/// A batch of everything that an enqueue can store.
fn batch(number: usize) -> Vec<NewJob> {
    let mut batch = jobs(20);
    for (n, job) in batch.iter_mut().enumerate() {
        let (scope, key) = ("s".to_owned(), format!("{number}.{n}"));
        job.payload = vec![b'x'; 500].into();
        match n % 4 {
            0 => job.when = When::After(LONG),
            1 => job.unique = Some(UniqueKey { scope, key: key.as_str().into() }),
            2 => {
                let window = Duration::from_secs(600);
                job.idempotency = Some(IdempotencyKey { scope, key: key.as_str().into(), window });
            }
            _ => {}
        }
    }
    batch
}

/// Wherever the memory ends, a batch is stored as a whole or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_is_whole_or_refused() {
    let server = start(fast());
    let url = server.fresh_url();
    let backend = connect(&url).await;
    enqueue_one(&backend).await.expect("enqueue works");
    let mut refused = 0;
    for number in 0..60 {
        let batch = batch(number);
        let room: i64 = [-80_000, -5_000, 0, 5_000, 20_000, 60_000][number % 6];
        limit(&server, used(&server).saturating_add_signed(room));
        let outcome = backend.enqueue(&batch).await;
        limit(&server, 0);
        if let Err(error) = &outcome {
            assert_full(error);
            refused += 1;
        }
        let mut there = 0;
        for job in &batch {
            there += usize::from(backend.get(job.id).await.expect("get works").is_some());
        }
        assert_eq!(there, if outcome.is_ok() { batch.len() } else { 0 }, "{outcome:?}");
        // Refused, it may come again; stored, it is not stored twice.
        let again = backend.enqueue(&batch).await.expect("there is room");
        assert!(again.iter().zip(&batch).all(|(answer, job)| answer.id == job.id && !answer.deduplicated));
    }
    assert!((1..60).contains(&refused), "{refused} of 60 were refused");
    Store::of(&url).assert_sound();
}

async fn claims_and_verdicts(backend: &RedisBackend, url: &str) {
    let lease = LeaseId::random();
    let held = crate::support::work::claim_from(backend, &QUEUE, lease, 8, LONG).await.expect("claim works");
    assert_eq!(held.len(), 8);
    let extended = backend.extend(&QUEUE, &[lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Held]);
    let error = || ErrorReport::new("no");
    let verdicts = [
        Verdict::Complete,
        Verdict::Cancel,
        Verdict::Retry { after: Duration::from_millis(1), error: error() },
        Verdict::Snooze { delay: Duration::from_millis(1) },
        Verdict::Release,
        Verdict::Dead { reason: DeadReason::Permanent, error: error() },
        Verdict::Complete,
    ];
    let mut settlements: Vec<_> =
        held.iter().zip(verdicts).map(|(claimed, verdict)| Settlement::new(claimed.hold, verdict)).collect();
    // What follows from a job is stored with its verdict; elsewhere it waits until there is room.
    settlements[6].follow_ups = vec![job(), NewJob::new(KIND, QueueName::from_static("other"), "{}")];
    assert_eq!(backend.settle(&QUEUE, &settlements).await.expect("settle works"), [Settled::Applied; 7]);
    assert_eq!(backend.cancel(held[7].hold.job).await.expect("cancel works"), Cancelled::Asked);
    settle(backend, &held[7], Verdict::Complete).await.expect("settle works");
    // The retried, the snoozed and those that were due.
    let mut promoted = 0;
    until("due jobs are ready", async || {
        let done = backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
        promoted += done.promoted;
        promoted >= 3
    })
    .await;
    for _ in 0..3 {
        let crashed = claim_for(backend, 2, Duration::from_millis(1)).await.expect("claim works");
        let mut leases: Vec<_> = crashed.iter().map(|claimed| claimed.hold.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        reap(backend, leases.len() as u64).await;
    }
    Store::of(url).assert_sound();
}

/// Everything but an enqueue goes on, whoever begins it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_can_be_worked_off() {
    let server = start(fast());
    for shards in [1, 3] {
        let url = format!("{}&shards={shards}", server.fresh_url());
        let before = connect(&url).await;
        let mut new = jobs(30);
        new[0].when = When::After(Duration::from_millis(1));
        for (job, n) in new.iter_mut().zip(0..).skip(1).step_by(3) {
            job.unique = Some(UniqueKey { scope: "s".into(), key: n.to_string().into() });
        }
        before.enqueue(&new).await.expect("enqueue works");
        limit(&server, 1);
        assert_full(&enqueue_one(&before).await.expect_err("there is no room"));
        // A process that starts now knows nothing yet.
        let backend = connect(&url).await;
        assert_full(&enqueue_one(&backend).await.expect_err("there is no room"));
        claims_and_verdicts(&backend, &url).await;
        backend.pause(&QUEUE).await.expect("pause works");
        backend.resume(&QUEUE).await.expect("resume works");
        let ready = ListFilter::new(QUEUE.clone(), JobState::Ready);
        let waiting = backend.list(&ready).await.expect("list works").jobs[0].id;
        assert_eq!(backend.cancel(waiting).await.expect("cancel works"), Cancelled::Now);
        let dead =
            backend.list(&ListFilter::new(QUEUE.clone(), JobState::Dead)).await.expect("list works").jobs;
        assert!(!dead.is_empty());
        // A replay takes in.
        assert_full(&backend.replay(&[dead[0].id]).await.expect_err("there is no room"));
        // Who discards is written down first.
        let letters = Client::new(backend.clone()).dead_letters(QUEUE.clone());
        let discard = Discard::matching(DeadFilter::all()).by("ada");
        let report = letters.discard(&discard).await.expect("discard works");
        assert_eq!(
            (report.discarded, letters.operations(10).await.expect("rows are shown").len()),
            (dead.len() as u64, 1)
        );
        until("all is done", async || {
            backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
            drain(&backend, &QUEUE).await;
            let stats = backend.stats(&QUEUE).await.expect("stats works");
            stats.ready + stats.running + stats.scheduled + stats.retrying == 0
        })
        .await;
        Store::of(&url).assert_sound();
        limit(&server, 0);
        let new = enqueue_one(&backend).await.expect("there is room");
        backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
        let other = QueueName::from_static("other");
        assert_eq!(drain(&backend, &other).await.len(), 1, "what waited in the outbox has come");
        assert!(drain(&backend, &QUEUE).await.contains(&new));
    }
}
