//! The ready log under everything at once: transactions that commit late or not at all, partial settlements, every
//! verdict, cancellations, workers that forget what they claimed or settle it too late. Nothing may be lost, nothing
//! applied twice. `STRESS_SECONDS` makes it longer.

mod support;

use backend_postgres::PostgresBackend;
use job_core::{
    Backend, Cancelled, Claim, ClaimRequest, DeadReason, ErrorReport, JobId, JobState, Kind, LeaseId,
    ListFilter, MaintainRequest, NewJob, Operate, Priority, QueueName, Settled, Settlement, Verdict,
    WorkerId,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, PgConnection};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const QUEUE: QueueName = QueueName::from_static("stress");
const KINDS: [Kind; 3] =
    [Kind::from_static("stress.a"), Kind::from_static("stress.b"), Kind::from_static("stress.c")];
const LEASE: Duration = Duration::from_millis(400);

/// What everybody saw.
#[derive(Default)]
struct Ledger {
    committed: Mutex<HashSet<JobId>>,
    rolled_back: Mutex<HashSet<JobId>>,
    /// Applied verdicts that end a job.
    ended: Mutex<HashMap<JobId, u32>>,
    cancelled: Mutex<HashSet<JobId>>,
    asked: Mutex<HashSet<JobId>>,
    stale: AtomicU64,
    forgotten: AtomicU64,
    reaped: AtomicU64,
    repaired: AtomicU64,
    repeated: AtomicU64,
    producing: AtomicBool,
}

impl Ledger {
    fn end(&self, job: JobId) {
        *self.ended.lock().expect("unpoisoned").entry(job).or_default() += 1;
    }
}

fn some_jobs(rng: &mut SmallRng) -> Vec<NewJob> {
    let n = [1, 1, 1, 5, 50][rng.random_range(0..5)];
    (0..n)
        .map(|_| {
            let mut job = NewJob::new(KINDS[rng.random_range(0..3)].clone(), QUEUE, r#"{"a":1}"#);
            job.priority = Priority::new([2, 5, 5, 5][rng.random_range(0..4)]).expect("valid");
            job.max_attempts = u32::MAX;
            if rng.random_bool(0.05) {
                job.when = job_core::When::After(Duration::from_millis(rng.random_range(1..300)));
            }
            job
        })
        .collect()
}

/// Enqueues in transactions of its own, some of which stay open for long or end in a rollback.
async fn produce(backend: PostgresBackend, url: String, ledger: Arc<Ledger>, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    while ledger.producing.load(Ordering::Relaxed) {
        let jobs = some_jobs(&mut rng);
        let ids: Vec<_> = jobs.iter().map(|j| j.id).collect();
        if rng.random_bool(0.3) {
            backend.enqueue(&jobs).await.expect("enqueue works");
            ledger.committed.lock().expect("unpoisoned").extend(ids);
            continue;
        }
        let mut tx = connection.begin().await.expect("begins");
        backend.enqueue_tx(&mut tx, &jobs).await.expect("enqueue_tx works");
        // How long transactions stay open is what this test is about.
        if rng.random_bool(0.1) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..50))).await;
        }
        if rng.random_bool(0.01) {
            tokio::time::sleep(Duration::from_millis(1_700)).await;
        }
        if rng.random_bool(0.05) {
            tx.rollback().await.expect("rolls back");
            ledger.rolled_back.lock().expect("unpoisoned").extend(ids);
        } else {
            tx.commit().await.expect("commits");
            ledger.committed.lock().expect("unpoisoned").extend(ids);
        }
    }
}

fn some_verdict(rng: &mut SmallRng) -> Verdict {
    match rng.random_range(0..100) {
        0..80 => Verdict::Complete,
        80..85 => Verdict::Release,
        85..90 => Verdict::Snooze { delay: Duration::from_millis(rng.random_range(0..100)) },
        90..96 => Verdict::Retry {
            after: Duration::from_millis(rng.random_range(0..100)),
            error: ErrorReport::new("stress"),
        },
        _ => Verdict::Dead { reason: DeadReason::Permanent, error: ErrorReport::new("stress") },
    }
}

/// Claims and settles, mostly together, until nothing is left.
async fn work(backend: PostgresBackend, ledger: Arc<Ledger>, drained: Arc<AtomicBool>, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let worker = WorkerId::random();
    let mut carried: Vec<Settlement> = Vec::new();
    while !drained.load(Ordering::Relaxed) {
        let offered = if ledger.producing.load(Ordering::Relaxed) { rng.random_range(1..4) } else { 50 };
        let suspects: Vec<_> = (0..offered).map(|_| LeaseId::random()).collect();
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker,
            kinds: &KINDS[..rng.random_range(1..4)],
            limit: [3, 20, 100][rng.random_range(0..3)],
            lease_for: LEASE,
            suspect_leases: &suspects,
            solo: true,
            ahead: &[],
        };
        let batch = std::mem::take(&mut carried);
        let (settled, claim) =
            backend.settle_and_claim(&QUEUE, &batch, &request).await.expect("settle and claim works");
        note(&ledger, &batch, &settled);
        let claim =
            if rng.random_bool(0.05) { again(&backend, &ledger, &request, claim).await } else { claim };
        if claim.jobs.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        if rng.random_bool(0.02) {
            ledger.forgotten.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if rng.random_bool(0.02) {
            // A frozen process: it wakes up when its leases are over, and settles all the same.
            tokio::time::sleep(LEASE * 2).await;
        }
        let mut all: Vec<_> =
            claim.jobs.iter().map(|j| Settlement::new(j.hold, some_verdict(&mut rng))).collect();
        carried = all.split_off(rng.random_range(0..=all.len()));
        if rng.random_bool(0.1) {
            // Half of it twice: an answer was lost.
            let first = backend.settle(&QUEUE, &all).await.expect("settle works");
            note(&ledger, &all, &first);
            let second = backend.settle(&QUEUE, &all).await.expect("settle works");
            for (a, b) in first.iter().zip(&second) {
                let expected = if *a == Settled::Stale { Settled::Stale } else { Settled::AlreadyApplied };
                assert_eq!(*b, expected, "a repeated verdict");
            }
        } else {
            let settled = backend.settle(&QUEUE, &all).await.expect("settle works");
            note(&ledger, &all, &settled);
        }
    }
    let settled = backend.settle(&QUEUE, &carried).await.expect("settle works");
    note(&ledger, &carried, &settled);
}

/// Repeats a claim as after a lost answer: the same jobs, less what was reaped meanwhile.
async fn again(
    backend: &PostgresBackend,
    ledger: &Ledger,
    request: &ClaimRequest<'_>,
    first: Claim,
) -> Claim {
    let second = backend.claim(&QUEUE, request).await.expect("claim works");
    if first.jobs.is_empty() || second.contended {
        return first;
    }
    ledger.repeated.fetch_add(1, Ordering::Relaxed);
    let known: HashMap<_, _> = first.jobs.iter().map(|j| (j.hold.job, j.hold)).collect();
    for job in &second.jobs {
        assert_eq!(known.get(&job.hold.job), Some(&job.hold), "a repeated claim took another job");
    }
    second
}

fn note(ledger: &Ledger, settlements: &[Settlement], answers: &[Settled]) {
    assert_eq!(settlements.len(), answers.len());
    for (s, answer) in settlements.iter().zip(answers) {
        match answer {
            Settled::Applied if matches!(s.verdict, Verdict::Complete | Verdict::Dead { .. }) => {
                ledger.end(s.hold.job);
            }
            Settled::Stale => {
                ledger.stale.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

async fn maintain(backend: PostgresBackend, ledger: Arc<Ledger>, drained: Arc<AtomicBool>) {
    let request = MaintainRequest { poison_limit: 1_000_000, ..MaintainRequest::default() };
    while !drained.load(Ordering::Relaxed) {
        let done = backend.maintain(&QUEUE, &request).await.expect("maintain works");
        ledger.reaped.fetch_add(done.leases_reaped, Ordering::Relaxed);
        ledger.repaired.fetch_add(done.repaired, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn cancel(backend: PostgresBackend, ledger: Arc<Ledger>, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    while ledger.producing.load(Ordering::Relaxed) {
        let victim = {
            let committed = ledger.committed.lock().expect("unpoisoned");
            let n = if committed.is_empty() { 0 } else { rng.random_range(0..committed.len()) };
            committed.iter().nth(n).copied()
        };
        if let Some(id) = victim {
            match backend.cancel(id).await.expect("cancel works") {
                Cancelled::Now => assert!(ledger.cancelled.lock().expect("unpoisoned").insert(id), "twice"),
                Cancelled::Asked => {
                    ledger.asked.lock().expect("unpoisoned").insert(id);
                }
                Cancelled::NotFound => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_under_stress() {
    let seconds = std::env::var("STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(8);
    let url = support::server().url();
    let fresh = format!("{}&pool=20", support::server().fresh_url());
    let backend = PostgresBackend::connect(&fresh).await.expect("connects");
    let ledger = Arc::new(Ledger::default());
    ledger.producing.store(true, Ordering::Relaxed);
    let drained = Arc::new(AtomicBool::new(false));
    let mut producers = tokio::task::JoinSet::new();
    for n in 0..8 {
        producers.spawn(produce(backend.clone(), url.clone(), Arc::clone(&ledger), n));
    }
    producers.spawn(cancel(backend.clone(), Arc::clone(&ledger), 77));
    let mut others = tokio::task::JoinSet::new();
    for n in 0..4 {
        others.spawn(work(backend.clone(), Arc::clone(&ledger), Arc::clone(&drained), 1_000 + n));
    }
    others.spawn(maintain(backend.clone(), Arc::clone(&ledger), Arc::clone(&drained)));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    ledger.producing.store(false, Ordering::Relaxed);
    while let Some(done) = producers.join_next().await {
        done.expect("a producer does not fail");
    }
    let deadline = Instant::now() + Duration::from_secs(60 + seconds);
    loop {
        let stats = backend.stats(&QUEUE).await.expect("stats work");
        if stats.ready + stats.running + stats.scheduled + stats.retrying == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "not drained: {stats:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drained.store(true, Ordering::Relaxed);
    while let Some(done) = others.join_next().await {
        done.expect("a worker does not fail");
    }
    check(&backend, &ledger).await;
}

async fn check(backend: &PostgresBackend, ledger: &Ledger) {
    let committed = ledger.committed.lock().expect("unpoisoned").clone();
    let ended = ledger.ended.lock().expect("unpoisoned").clone();
    let cancelled = ledger.cancelled.lock().expect("unpoisoned").clone();
    let asked = ledger.asked.lock().expect("unpoisoned").clone();
    let rolled_back = ledger.rolled_back.lock().expect("unpoisoned").clone();
    let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
    println!(
        "committed {} ended {} cancelled {} asked {} rolled back {} stale {} forgotten {} reaped {} repeated claims {}",
        committed.len(),
        ended.len(),
        cancelled.len(),
        asked.len(),
        rolled_back.len(),
        count(&ledger.stale),
        count(&ledger.forgotten),
        count(&ledger.reaped),
        count(&ledger.repeated),
    );
    let lost: Vec<_> = committed
        .iter()
        .filter(|id| !ended.contains_key(id) && !cancelled.contains(id) && !asked.contains(id))
        .collect();
    assert!(lost.is_empty(), "{} jobs lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let twice: Vec<_> = ended.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "ended twice: {twice:?}");
    let both = cancelled.iter().filter(|id| ended.contains_key(id)).count();
    assert_eq!(both, 0, "cancelled at once and ended as well");
    let ghosts = ended.keys().filter(|id| !committed.contains(id)).count();
    assert_eq!(ghosts, 0, "jobs that nobody committed");
    assert_eq!(count(&ledger.repaired), 0, "the audit had to repair something");
    let filter = ListFilter { limit: 1_000_000, ..ListFilter::new(QUEUE, JobState::Dead) };
    let dead = backend.list(&filter).await.expect("list works").jobs;
    assert!(dead.iter().all(|j| ended.contains_key(&j.id)), "a job is dead without a verdict");
    // A run in which little happened says little.
    assert!(count(&ledger.stale) > 0 && count(&ledger.reaped) > 0 && count(&ledger.repeated) > 0);
    assert!(!rolled_back.is_empty() && !cancelled.is_empty() && !asked.is_empty());
}
