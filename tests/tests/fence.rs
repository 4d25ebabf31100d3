//! A worker that cannot extend its leases stops its handlers before the leases end, by the clock of the store.

mod support;

use backend_memory::MemoryBackend;
use job_core::{ErrorKind, Job, JobContext, JobError, JobSpec, Kind, NewJob, Queue};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, QUEUE, Script, runtime, until};
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(10);

/// The same job as [`Act`], but it runs to its end whatever happens.
#[derive(Debug, Serialize, Deserialize)]
struct Blocking {
    n: u64,
}

impl Job for Blocking {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("blocking"));
            spec.blocking = true;
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        Act { n: self.n }.run(ctx).await
    }
}

/// Runs a job that heeds nobody while extensions fail in this way; how long after its claim it was last alive.
async fn last_alive(fault: Fault) -> Duration {
    let store = Arc::new(MemoryBackend::new());
    let faulty = Faulty::over(store.clone(), move |operation| match operation {
        "extend" => fault,
        _ => Fault::None,
    });
    let alive: Arc<Mutex<Option<[Instant; 2]>>> = Arc::default();
    let seen = Arc::clone(&alive);
    let script = Script::new(move |_, ctx: JobContext| {
        let seen = Arc::clone(&seen);
        async move {
            while ctx.fencing_token().claims == 1 {
                let now = Instant::now();
                seen.lock().expect("no test panics here").get_or_insert([now, now])[1] = now;
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        }
    });
    let running = runtime(faulty, script)
        .lease(LEASE)
        .cancel_grace(LEASE)
        .build()
        .expect("a good configuration")
        .start();
    running.client().enqueue(Act { n: 1 }).await.expect("the store answers");
    until("the job runs again", async || {
        let left = running.client().backend().stats(&QUEUE).await.expect("the store answers");
        left.ready + left.running == 0
    })
    .await;
    running.shutdown().await.expect("a good end");
    let [first, last] = alive.lock().expect("no test panics here").expect("it ran");
    last - first
}

#[tokio::test(start_paused = true)]
async fn a_handler_stops_before_its_lease_ends() {
    let alive = last_alive(Fault::NotApplied(ErrorKind::Transient)).await;
    assert!(alive < LEASE, "{alive:?}");
    assert!(alive > LEASE / 2, "not so early either: {alive:?}");
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_hangs_delays_nothing() {
    let alive = last_alive(Fault::Hang).await;
    assert!(alive < LEASE, "{alive:?}");
    assert!(alive > LEASE / 2, "not so early either: {alive:?}");
}

/// A job that was stopped is not held back by one beside it, under the same lease, that cannot be.
#[tokio::test(start_paused = true)]
async fn what_was_stopped_runs_again_soon() {
    let began = Instant::now();
    let faulty = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| match operation {
        // Long enough to stop what can be stopped, and then the lease is still there.
        "extend" if began.elapsed() < LEASE - Duration::from_millis(500) => {
            Fault::NotApplied(ErrorKind::Transient)
        }
        _ => Fault::None,
    });
    let again: Arc<Mutex<Option<Duration>>> = Arc::default();
    let seen = Arc::clone(&again);
    let script = Script::new(move |n, ctx: JobContext| {
        let seen = Arc::clone(&seen);
        async move {
            match (n, ctx.fencing_token().claims) {
                (1, _) => sleep(Duration::from_secs(600)).await,
                (_, 1) => std::future::pending().await,
                _ => drop(seen.lock().unwrap().get_or_insert(began.elapsed())),
            }
            Ok(())
        }
    });
    let running = runtime(faulty, script)
        .job::<Blocking>()
        .queue(QUEUE.as_str(), Queue::concurrency(2))
        .lease(LEASE)
        .build()
        .unwrap()
        .start();
    let jobs = [NewJob::of(&Blocking { n: 1 }).unwrap(), NewJob::of(&Act { n: 2 }).unwrap()];
    running.client().enqueue_new(&jobs).await.unwrap();
    until("the job runs again", async || again.lock().unwrap().is_some()).await;
    let after = again.lock().unwrap().unwrap();
    assert!(after < 3 * LEASE, "{after:?}");
    running.shutdown().await.unwrap();
}

/// Under which claim of their job handlers started, and when they were asked to stop, counted from `began`.
fn until_stopped(began: Instant, started: &Log, stopped: &Log) -> Script {
    let (started, seen) = (started.clone(), stopped.clone());
    Script::new(move |_, ctx| {
        let seen = seen.clone();
        started.add(ctx.fencing_token().claims.to_string());
        async move {
            ctx.cancellation().cancelled().await;
            seen.add(format!("{:.1}", began.elapsed().as_secs_f64()));
            Err(JobError::cancelled())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_becomes_known_late_is_no_exception() {
    // At any phase of the lease keeper's timer, which is a third of a lease.
    for phase in 0..20 {
        let late = Arc::new(AtomicBool::new(false));
        let fault = Arc::clone(&late);
        let backend = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| match operation {
            "extend" => Fault::Hang,
            "claim" if fault.load(Ordering::SeqCst) => Fault::Late(Duration::from_millis(7_500)),
            _ => Fault::None,
        });
        let (started, stopped) = (Log::default(), Log::default());
        let phase = Duration::from_millis(200 * phase);
        let began = Instant::now() + phase;
        let script = until_stopped(began, &started, &stopped);
        let running = runtime(backend, script).lease(Duration::from_secs(10)).build().unwrap().start();
        sleep(phase).await;
        late.store(true, Ordering::SeqCst);
        running.client().enqueue(Act { n: 1 }).await.unwrap();
        until("it was stopped", async || !stopped.lines().is_empty()).await;
        let after: f64 = stopped.lines()[0].parse().unwrap();
        // Under a lease that became known so late it is not started at all, unless that can be extended, or it stops in time.
        let first = started.lines()[0] == "1";
        assert!(!first || after < 10.0, "stopped after {after} s of a 10 s lease, phase {phase:?}");
        assert!(after < 20.0, "the second lease lasts from 8 s on, stopped after {after} s, phase {phase:?}");
        running.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn many_leases_that_cannot_be_extended_are_given_up_in_time() {
    const LEASES: usize = 4_100;
    let cut = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&cut);
    let backend = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| {
        if operation == "extend" && fault.load(Ordering::SeqCst) { Fault::Hang } else { Fault::None }
    });
    let stopped = Log::default();
    let began = Instant::now();
    let builder =
        runtime(backend, until_stopped(began, &Log::default(), &stopped)).lease(Duration::from_secs(10));
    let running = builder.default_queue(Queue::concurrency(LEASES)).build().unwrap().start();
    let client = running.client().clone();
    for n in 0..LEASES {
        client.enqueue(Act { n: n as u64 }).await.unwrap();
        until("it runs", async || client.backend().stats(&QUEUE).await.unwrap().ready == 0).await;
    }
    cut.store(true, Ordering::SeqCst);
    let started = began.elapsed().as_secs_f64();
    until("all were stopped", async || stopped.lines().len() >= LEASES).await;
    let last: f64 = stopped.lines()[LEASES - 1].parse().unwrap();
    assert!(last - started < 10.0, "cut off at {started} s, stopped by {last} s");
    running.shutdown().await.unwrap();
}
