//! A worker that cannot extend its leases stops its handlers before the leases end, by the clock of the store.

mod support;

use backend_memory::MemoryBackend;
use job_core::{ErrorKind, JobContext};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Act, Fault, Faulty, QUEUE, Script, runtime, until};
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(10);

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
                seen.lock().unwrap().get_or_insert([now, now])[1] = now;
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        }
    });
    let running = runtime(faulty, script).lease(LEASE).cancel_grace(LEASE).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("the job runs again", async || {
        let left = running.client().backend().stats(&QUEUE).await.unwrap();
        left.ready + left.running == 0
    })
    .await;
    running.shutdown().await.unwrap();
    let [first, last] = alive.lock().unwrap().expect("it ran");
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
