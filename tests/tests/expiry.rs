//! Jobs that are too late, in whole runtimes under paused time.

mod support;

use backend_memory::MemoryBackend;
use jiff::{SignedDuration, Timestamp};
use job_core::{
    Backend as _, ClaimRequest, Client, DeadReason, JobId, JobRecord, JobState, Kind, LeaseId, Operate as _,
    QueueName, RunningRuntime, Runtime, Settlement, State, Verdict, WorkerId,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steadfast::{JobError, JobResult, job, jobs};
use support::until;
use tokio::time::advance;

const QUEUE: QueueName = QueueName::from_static("default");

/// How often each handler ran, and what was told.
#[derive(Debug, Default)]
struct Seen {
    runs: AtomicU32,
    told: Mutex<Vec<(JobId, String)>>,
}

impl Seen {
    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
    fn run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[job(ttl = "10s")]
async fn fresh(State(seen): State<Seen>) {
    seen.run();
}

#[job(ttl = "10s", retries = 0)]
async fn fails_once(State(seen): State<Seen>) -> JobResult {
    if seen.run() == 1 { Err("the disk is full".into()) } else { Ok(()) }
}

#[job(retries = 5, backoff(fixed, base = "30s"))]
async fn fails(State(seen): State<Seen>) -> JobResult {
    seen.run();
    Err("no route to host".into())
}

#[job(timeout = none)]
async fn hangs(State(seen): State<Seen>) {
    seen.run();
    std::future::pending::<()>().await;
}

#[job(ttl = "10s")]
async fn puts_off(seconds: u64, State(seen): State<Seen>) -> JobResult {
    if seen.run() == 1 { Err(JobError::snooze(Duration::from_secs(seconds))) } else { Ok(()) }
}

#[job(snoozes = 3, retries = 1, backoff(fixed, base = "1s"))]
async fn waits_for_godot(State(seen): State<Seen>) -> JobResult {
    seen.run();
    Err(JobError::snooze(Duration::from_secs(60)))
}

#[job(ttl = "10s", dead_letter = then(TellSupport))]
async fn important(State(seen): State<Seen>) {
    seen.run();
}

#[job(ttl = "10s", dead_letter = discard)]
async fn unimportant(State(seen): State<Seen>) {
    seen.run();
}

#[job]
async fn tell_support(dead: job_core::DeadJob, State(seen): State<Seen>) {
    seen.told.lock().expect("nothing panics here").push((dead.id, dead.reason));
}

fn store() -> (MemoryBackend, Client, Arc<Seen>) {
    let store = MemoryBackend::new();
    (store.clone(), Client::new(store), Arc::default())
}

fn start(store: &MemoryBackend, seen: &Arc<Seen>) -> RunningRuntime {
    Runtime::builder(store.clone())
        .state_arc(Arc::clone(seen))
        .jobs(jobs![
            fresh,
            fails_once,
            fails,
            hangs,
            puts_off,
            waits_for_godot,
            important,
            unimportant,
            tell_support
        ])
        .build()
        .expect("builds")
        .start()
}

async fn record(store: &MemoryBackend, id: JobId) -> Option<JobRecord> {
    store.get(id).await.expect("get works")
}

async fn dead(store: &MemoryBackend, id: JobId) -> JobRecord {
    let is_dead = async || record(store, id).await.is_some_and(|job| job.state == JobState::Dead);
    until("it is dead", is_dead).await;
    record(store, id).await.expect("it is dead")
}

async fn gone(store: &MemoryBackend, id: JobId) {
    until("it is gone", async || record(store, id).await.is_none()).await;
}

fn last_error(job: &JobRecord) -> &str {
    job.errors.last().map_or("", |error| error.error.as_str())
}

async fn end(running: RunningRuntime) {
    running.shutdown().await.expect("it ends");
}

/// So many seconds after the store took a job just now.
async fn in_seconds(store: &MemoryBackend, client: &Client, seconds: i64) -> Timestamp {
    let probe = client.enqueue(Fresh::new()).queue("elsewhere").await.expect("enqueue works").id;
    let now = record(store, probe).await.expect("it waits").enqueued_at;
    now + SignedDuration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waited_too_long_is_not_run() {
    let (store, client, seen) = store();
    let id = client.enqueue(Fresh::new()).await.expect("enqueue works").id;
    let patient = client.enqueue(Fresh::new()).ttl(Duration::from_secs(60)).await.expect("enqueue works").id;
    advance(Duration::from_secs(11)).await;
    let running = start(&store, &seen);
    let job = dead(&store, id).await;
    assert_eq!(job.dead_reason, Some(DeadReason::Expired));
    assert!(last_error(&job).contains("ttl"), "{job:?}");
    gone(&store, patient).await;
    assert_eq!(seen.runs(), 1, "only the one that has more time");
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_ttl_begins_when_the_job_is_due() {
    let (store, client, seen) = store();
    let at = in_seconds(&store, &client, 60).await;
    let scheduled = [
        client.enqueue(Fresh::new()).delay(Duration::from_secs(60)).await.expect("enqueue works").id,
        client.enqueue(Fresh::new()).at(at).await.expect("enqueue works").id,
        client
            .enqueue(Fresh::new())
            .ttl(Duration::from_secs(1))
            .delay(Duration::from_secs(60))
            .await
            .expect("ok")
            .id,
    ];
    let running = start(&store, &seen);
    for id in scheduled {
        gone(&store, id).await;
    }
    assert_eq!(seen.runs(), 3);
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_came_to_nothing_is_no_start() {
    let (store, client, seen) = store();
    let id = client.enqueue(Fresh::new()).await.expect("enqueue works").id;
    let request = ClaimRequest {
        lease: LeaseId::random(),
        worker: WorkerId::random(),
        kinds: &[Kind::from_static("fresh")],
        limit: 1,
        lease_for: Duration::from_secs(10),
        suspect_leases: &[],
        solo: false,
        ahead: &[],
    };
    let claim = store.claim(&QUEUE, &request).await.expect("claim works");
    let back = Settlement::new(claim.jobs[0].hold, Verdict::Release);
    store.settle(&QUEUE, &[back]).await.expect("settle works");
    advance(Duration::from_secs(11)).await;
    let running = start(&store, &seen);
    assert_eq!(dead(&store, id).await.dead_reason, Some(DeadReason::Expired));
    assert_eq!(seen.runs(), 0);
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_is_not_too_late_when_it_is_replayed() {
    let (store, client, seen) = store();
    let running = start(&store, &seen);
    let id = client.enqueue(FailsOnce::new()).await.expect("enqueue works").id;
    assert_eq!(dead(&store, id).await.dead_reason, Some(DeadReason::Exhausted));
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(store.replay(&[id]).await.expect("replay works"), [true]);
    gone(&store, id).await;
    assert_eq!(seen.runs(), 2);
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_come_too_late_does_not_come() {
    let (store, client, seen) = store();
    let deadline = in_seconds(&store, &client, 45).await;
    let running = start(&store, &seen);
    let id = client.enqueue(Fails::new()).deadline(deadline).await.expect("enqueue works").id;
    let job = dead(&store, id).await;
    assert_eq!(
        (job.dead_reason, seen.runs()),
        (Some(DeadReason::Expired), 2),
        "the first retry comes in time"
    );
    assert!(last_error(&job).contains("no route to host"), "{job:?}");
    assert!(job.died_at.expect("it is dead") < deadline, "at once");
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_the_deadline() {
    let (store, client, seen) = store();
    let deadline = in_seconds(&store, &client, 20).await;
    let running = start(&store, &seen);
    let id = client.enqueue(Hangs::new()).deadline(deadline).await.expect("enqueue works").id;
    let job = dead(&store, id).await;
    assert_eq!((job.dead_reason, seen.runs()), (Some(DeadReason::Expired), 1));
    let late = job.died_at.expect("it is dead").duration_since(deadline);
    assert!(late >= SignedDuration::ZERO && late < SignedDuration::from_secs(10), "{late}");
    assert!(last_error(&job).contains("timed out"), "{job:?}");
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_snooze_may_end_within_the_ttl_alone() {
    let (store, client, seen) = store();
    let running = start(&store, &seen);
    let short = client.enqueue(PutsOff::new(5)).await.expect("enqueue works").id;
    gone(&store, short).await;
    seen.runs.store(0, Ordering::Relaxed);
    let long = client.enqueue(PutsOff::new(15)).await.expect("enqueue works").id;
    assert_eq!(dead(&store, long).await.dead_reason, Some(DeadReason::Expired));
    assert_eq!(seen.runs(), 1);
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_is_not_put_off_for_ever() {
    let (store, client, seen) = store();
    let running = start(&store, &seen);
    let id = client.enqueue(WaitsForGodot::new()).await.expect("enqueue works").id;
    let job = dead(&store, id).await;
    assert_eq!((job.dead_reason, job.attempt), (Some(DeadReason::Exhausted), 2));
    assert_eq!(seen.runs(), 5, "three snoozes, and two that count");
    assert!(last_error(&job).contains("snooze"), "{job:?}");
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_dead_job_follows_an_expired_one() {
    let (store, client, seen) = store();
    let told = client.enqueue(Important::new()).await.expect("enqueue works").id;
    let discarded = client.enqueue(Unimportant::new()).await.expect("enqueue works").id;
    advance(Duration::from_secs(11)).await;
    let running = start(&store, &seen);
    until("support was told", async || !seen.told.lock().expect("nothing panics here").is_empty()).await;
    assert_eq!(*seen.told.lock().expect("nothing panics here"), [(told, "expired".to_owned())]);
    gone(&store, discarded).await;
    assert_eq!(seen.runs(), 0);
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused() {
    let (_, client, _) = store();
    let zero = client.enqueue(Fresh::new()).ttl(Duration::ZERO).await.expect_err("it would never run");
    assert!(zero.to_string().contains("ttl"), "{zero}");
    let header = client.enqueue(Fresh::new()).header("steadfast-deadline", "noon").await;
    assert!(header.expect_err("no instant").to_string().contains(".deadline("));
}
