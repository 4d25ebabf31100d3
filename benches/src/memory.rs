//! The embedded store.

use crate::args::Args;
use crate::drain;
use crate::noop::Count;
use crate::report::{Rounds, Table, rate};
use anyhow::Result;
use std::sync::Arc;
use std::time::Instant;

/// Measures the embedded store.
///
/// # Errors
/// If the runtime or the store fails.
pub async fn measure(args: &Args) -> Result<()> {
    let jobs = args.jobs.unwrap_or(1_000_000);
    let mut rounds = Rounds::default();
    for round in 0..=args.rounds {
        let backend = steadfast::connect("memory:").await?;
        let enqueue = drain::enqueue(&backend, jobs, args).await?;
        let drain = drain::drain(&backend, jobs, args).await?;
        drain::enqueue(&backend, jobs, args).await?;
        let bare_loop = drain::bare_loop(&backend, jobs).await?;
        let spawn = spawn(jobs).await;
        if round > 0 {
            rounds.push([enqueue, drain, bare_loop, spawn]);
        }
    }
    let [enqueue, drain, bare_loop, spawn] = rounds.medians();
    let mut table = Table::default();
    table.rate("enqueue", enqueue, format!("one producer, {} a call", args.batch));
    table.rate("claim + run + settle", drain, format!("the whole runtime, {} at once", args.concurrency));
    table.rate("the same without a runtime", bare_loop, "ceiling of the store: settle and claim in a loop");
    table.rate("bare tokio::spawn", spawn, format!("ceiling of the machine; ratio {:.2}", drain / spawn));
    table.print(&format!("memory: {jobs} jobs with {} bytes, median of {}", args.payload, args.rounds));
    Ok(())
}

/// Tasks a second that tokio spawns and runs.
async fn spawn(jobs: usize) -> f64 {
    let count = Arc::new(Count::of(jobs));
    let began = Instant::now();
    for _ in 0..jobs {
        let count = Arc::clone(&count);
        tokio::spawn(async move { count.one() });
    }
    count.all().await;
    rate(jobs, began.elapsed())
}
