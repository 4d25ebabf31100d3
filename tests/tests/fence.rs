//! A worker that cannot extend its leases stops its handlers before the leases end, by the clock of the store.

mod support;

use backend_memory::MemoryBackend;
use job_core::{ErrorKind, Job, JobContext, JobError, JobSpec, Kind, NewJob, Queue};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::{Act, Fault, Faulty, QUEUE, Script, runtime, until};
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
