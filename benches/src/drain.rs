//! Enqueue and drain rates of any store, through the whole runtime and without one.

use crate::args::Args;
use crate::noop::{Count, Noop, QUEUE, noop};
use crate::report::rate;
use anyhow::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use steadfast::{
    ClaimRequest, Client, LeaseId, NewJob, Operate, Queue, Runtime, Settlement, Verdict, WorkerId, jobs,
};
use tokio::task::JoinSet;

/// Jobs claimed and settled in one call by the loop that stands for the ceiling.
const LOOP_BATCH: u32 = 1_000;

/// Jobs a second through a client, a batch at a time.
pub(crate) async fn enqueue(backend: &Arc<dyn Operate>, jobs: usize, args: &Args) -> Result<f64> {
    let client = Client::new(Arc::clone(backend));
    let data = "x".repeat(args.payload);
    let began = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let now = left.min(args.batch);
        client.enqueue_all((0..now).map(|_| Noop::new(data.clone()))).await?;
        left -= now;
    }
    Ok(rate(jobs, began.elapsed()))
}

/// Jobs a second from the start of a runtime until every job is settled.
pub(crate) async fn drain(backend: &Arc<dyn Operate>, jobs: usize, args: &Args) -> Result<f64> {
    let count = Arc::new(Count::of(jobs));
    let runtime = Runtime::builder(Arc::clone(backend))
        .jobs(jobs![noop])
        .state_arc(Arc::clone(&count))
        .queue(QUEUE.as_str(), Queue::concurrency(args.concurrency))
        .build()?;
    let began = Instant::now();
    let running = runtime.start();
    count.all().await;
    until_empty(backend).await?;
    let took = began.elapsed();
    running.shutdown().await?;
    Ok(rate(jobs, took))
}

/// Returns when the store has every verdict.
async fn until_empty(backend: &Arc<dyn Operate>) -> Result<()> {
    loop {
        let stats = backend.stats(&QUEUE).await?;
        if stats.ready + stats.running + stats.scheduled + stats.retrying == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Jobs a second of one client that settles and claims without running anything.
pub(crate) async fn bare_loop(backend: &Arc<dyn Operate>, jobs: usize) -> Result<f64> {
    let kinds = [NewJob::of(&Noop::new(String::new()))?.kind];
    let worker = WorkerId::random();
    let began = Instant::now();
    let mut settlements: Vec<Settlement> = Vec::new();
    let mut done = 0;
    loop {
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker,
            kinds: &kinds,
            limit: LOOP_BATCH,
            lease_for: Duration::from_secs(60),
            suspect_leases: &[],
            solo: false,
            ahead: &[],
        };
        let (settled, claim) = backend.settle_and_claim(&QUEUE, &settlements, &request).await?;
        done += settled.len();
        settlements = claim.jobs.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
        if settlements.is_empty() {
            anyhow::ensure!(done == jobs, "{done} of {jobs} jobs were claimed");
            return Ok(rate(jobs, began.elapsed()));
        }
    }
}

/// Jobs a second of this many producers that enqueue one at a time.
pub(crate) async fn enqueue_singly(
    backend: &Arc<dyn Operate>,
    producers: usize,
    jobs: usize,
    args: &Args,
) -> Result<f64> {
    let client = Client::new(Arc::clone(backend));
    let data = "x".repeat(args.payload);
    let each = jobs.div_ceil(producers);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..producers {
        let (client, data) = (client.clone(), data.clone());
        tasks.spawn(async move {
            for _ in 0..each {
                client.enqueue(Noop::new(data.clone())).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(rate(each * producers, began.elapsed()))
}
