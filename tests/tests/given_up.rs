//! What comes after a job that is given up.

mod support;

use backend_memory::MemoryBackend;
use job_core::{DeadJob, DeadReason, JobContext, JobState, ListFilter, Operate, Queue, Runtime, State};
use std::sync::Mutex;
use steadfast::{JobResult, ResultExt as _, job, jobs};
use support::until;

type Told = Mutex<Vec<(DeadJob, Option<String>)>>;

#[job]
async fn tell_support(dead: DeadJob, State(told): State<Told>, ctx: JobContext) -> JobResult {
    let parent = ctx.headers().get(job_core::NewJob::PARENT_HEADER).cloned();
    told.lock().expect("nothing panics here").push((dead, parent));
    Ok(())
}

#[job(retries = 1, backoff(fixed, base = "1s"), dead_letter = then(TellSupport))]
async fn important(n: u32) -> JobResult {
    if n == 0 { Err("never").permanent().map_err(Into::into) } else { Err("the disk is full".into()) }
}

#[job(retries = 0, dead_letter = discard)]
async fn telemetry(n: u32) -> JobResult {
    Err(format!("sample {n} cannot be sent").into())
}

#[tokio::test(start_paused = true)]
async fn another_job_comes_in_the_step_in_which_one_is_given_up() {
    let store = MemoryBackend::new();
    let told = std::sync::Arc::new(Told::default());
    let running = Runtime::builder(store.clone())
        .state_arc(std::sync::Arc::clone(&told))
        .jobs(jobs![tell_support, important, telemetry])
        .queue("default", Queue::concurrency(4))
        .build()
        .expect("builds")
        .start();
    let client = running.client();
    let exhausted = Important::new(1).enqueue(client).await.expect("enqueue works").id;
    let permanent = Important::new(0).enqueue(client).await.expect("enqueue works").id;
    let discarded = Telemetry::new(7).enqueue(client).await.expect("enqueue works").id;
    let queue = job_core::QueueName::from_static("default");
    let ended = async || {
        let stats = store.stats(&queue).await.expect("stats work");
        told.lock().expect("nothing panics here").len() == 2
            && stats.ready + stats.running + stats.retrying == 0
    };
    until("support was told of two", ended).await;
    let mut told = told.lock().expect("nothing panics here").clone();
    told.sort_by_key(|(dead, _)| dead.id != exhausted);
    assert_eq!(told.len(), 2, "the discarded job is nobody's business: {told:?}");
    let words = |n: usize| (told[n].0.reason.as_str(), told[n].0.attempt, told[n].0.error.as_str());
    assert_eq!(words(0), ("exhausted", 2, "the disk is full"));
    assert_eq!(words(1), ("permanent", 1, "never"));
    for (n, id) in [exhausted, permanent].into_iter().enumerate() {
        assert_eq!((told[n].0.id, told[n].1.as_deref()), (id, Some(id.to_string().as_str())));
        let record = store.get(id).await.expect("get works").expect("it is in the dead-letter queue");
        assert!(matches!(record.dead_reason, Some(DeadReason::Exhausted | DeadReason::Permanent)));
    }
    assert!(store.get(discarded).await.expect("get works").is_none(), "it left nothing");
    let dead = store.list(&ListFilter::new(queue, JobState::Dead)).await.expect("list works").jobs;
    assert_eq!(dead.len(), 2);
    running.shutdown().await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn arguments_that_cannot_be_read_are_not_discarded() {
    let store = MemoryBackend::new();
    let running = Runtime::builder(store.clone())
        .jobs(jobs![telemetry])
        .queue("default", Queue::concurrency(4))
        .build()
        .expect("builds")
        .start();
    let queue = job_core::QueueName::from_static("default");
    let garbage = job_core::NewJob::new(job_core::Kind::from_static("telemetry"), queue.clone(), "{}");
    running.client().enqueue_new(std::slice::from_ref(&garbage)).await.expect("enqueue works");
    until("it is dead", async || store.stats(&queue).await.expect("stats work").dead == 1).await;
    running.shutdown().await.expect("it ends");
}
