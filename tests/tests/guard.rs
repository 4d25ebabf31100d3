//! A bug of the runtime itself, in the task of a job: the job is given back, its slot and its lease are not kept for ever.

mod support;

use backend_memory::MemoryBackend;
use job_core::Queue;
use job_core::faults::{Faults, Injected, install};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Act, Log, Script, runtime, until_drained};
use tokio::time::timeout;

/// Panics where the task of a job starts, three times.
#[derive(Default)]
struct Bug(AtomicUsize);

impl Faults for Bug {
    fn reached(&self, _scope: &str, point: &str) -> Injected {
        assert!(point != "job.started" || self.0.fetch_add(1, Ordering::SeqCst) >= 3, "a bug of ours");
        Injected::Nothing
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_task_dies_runs_again() {
    install(Arc::new(Bug::default()));
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            seen.add(format!("run {n}: attempt {}", ctx.attempt()));
            Ok(())
        }
    });
    let backend = Arc::new(MemoryBackend::new());
    let running = runtime(backend, script).default_queue(Queue::concurrency(1)).build().unwrap().start();
    running.client().enqueue_all([Act { n: 1 }, Act { n: 2 }]).await.unwrap();
    timeout(Duration::from_secs(60), until_drained(running.client())).await.expect("they run");
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["run 1: attempt 1", "run 2: attempt 1"], "what is no fault of theirs is not charged");
    assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0);
}
