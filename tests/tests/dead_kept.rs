//! Dead jobs that are kept for a time.

mod support;

use backend_memory::MemoryBackend;
use job_core::{JobState, Operate as _, Queue, QueueName, RunningRuntime, Runtime};
use std::time::Duration;
use steadfast::{JobResult, ResultExt as _, job, jobs};
use support::until;
use tokio::time::{advance, sleep};

const QUEUE: QueueName = QueueName::from_static("default");
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[job]
async fn never_works() -> JobResult {
    Err("never").permanent().map_err(Into::into)
}

fn start(store: &MemoryBackend) -> RunningRuntime {
    Runtime::builder(store.clone())
        .jobs(jobs![never_works])
        .queue("default", Queue::default().dead_kept(DAY))
        .build()
        .expect("a day is long enough")
        .start()
}

#[tokio::test(start_paused = true)]
async fn the_runtime_removes_what_has_been_dead_for_long() {
    let store = MemoryBackend::new();
    let running = start(&store);
    let id = NeverWorks::new().enqueue(running.client()).await.expect("enqueue works").id;
    let state = async || store.get(id).await.expect("get works").map(|job| job.state);
    until("it is dead", async || state().await == Some(JobState::Dead)).await;
    // Nobody works for most of the day, so that the test is short.
    running.shutdown().await.expect("it ends");
    advance(DAY - Duration::from_secs(60)).await;
    let running = start(&store);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(state().await, Some(JobState::Dead), "not before its time");
    until("it is gone", async || state().await.is_none()).await;
    assert_eq!(store.stats(&QUEUE).await.expect("stats work").dead, 0);
    running.shutdown().await.expect("it ends");
}

#[test]
fn less_than_a_day_is_refused() {
    let hour = || Queue::default().dead_kept(Duration::from_secs(3_600));
    let builder = Runtime::builder(MemoryBackend::new()).jobs(jobs![never_works]);
    let error = builder.queue("default", hour()).default_queue(hour()).build().expect_err("an hour");
    assert_eq!(error.problems().len(), 2, "{error}");
    assert!(error.problems().iter().all(|p| p.contains("24 h")), "{error}");
}
