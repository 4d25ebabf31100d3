//! What very many scheduled jobs cost those that are ready, and how late a job starts that is due.

use crate::args::Args;
use crate::drain;
use crate::noop::{Noop, QUEUE, noop};
use crate::place::{Place, enqueue, run};
use crate::report::{Rounds, Table, median, rate};
use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steadfast::{JobResult, NewJob, Operate, Queue, Runtime, State, When, job, jobs};
use tokio::sync::Notify;

/// Ready jobs in one measurement.
const READY: usize = 100_000;
/// The first of the scheduled jobs is due in a day.
const DAY: Duration = Duration::from_secs(86_400);
/// Jobs that fall due while nothing else is done, and how far apart.
const DUE: usize = 500;
const APART: Duration = Duration::from_millis(20);

/// How late jobs started, in ms.
#[derive(Debug, Default)]
struct Lates {
    ms: Mutex<Vec<f64>>,
    all: Notify,
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[job(queue = "bench")]
async fn due(at_us: u64, State(lates): State<Lates>) -> JobResult {
    let late = Duration::from_micros(now_us().saturating_sub(at_us));
    let mut ms = lates.ms.lock().unwrap_or_else(PoisonError::into_inner);
    ms.push(late.as_secs_f64() * 1_000.0);
    if ms.len() == DUE {
        lates.all.notify_one();
    }
    Ok(())
}

/// Jobs a second, enqueued and then run.
async fn ready(store: &Arc<dyn Operate>, args: &Args) -> Result<[f64; 2]> {
    let enqueued = drain::enqueue(store, READY, args).await?;
    let runtime = Runtime::builder(Arc::clone(store)).jobs(jobs![noop]);
    Ok([enqueued, run(runtime, args.concurrency, READY).await?])
}

/// The middle and the 99th percentile of how late jobs start that fall due one after the other on an idle system.
async fn lateness(store: &Arc<dyn Operate>, args: &Args) -> Result<[f64; 2]> {
    let lates = Arc::new(Lates::default());
    let runtime = Runtime::builder(Arc::clone(store))
        .jobs(jobs![due])
        .state_arc(Arc::clone(&lates))
        .queue(QUEUE.as_str(), Queue::concurrency(args.concurrency))
        .build()?;
    let running = runtime.start();
    let first = now_us() + 2_000_000;
    enqueue(store, DUE, |n| {
        let at_us = first + n as u64 * u64::try_from(APART.as_micros())?;
        let mut job = NewJob::of(&Due::new(at_us))?;
        job.when = When::At(jiff::Timestamp::from_microsecond(i64::try_from(at_us)?)?);
        Ok(job)
    })
    .await?;
    lates.all.notified().await;
    running.shutdown().await?;
    let mut ms = std::mem::take(&mut *lates.ms.lock().unwrap_or_else(PoisonError::into_inner));
    ms.sort_by(f64::total_cmp);
    let p99 = ms[ms.len() * 99 / 100];
    Ok([median(ms), p99])
}

/// Measures one store: one that holds nothing else and one with the scheduled jobs, in turn.
///
/// # Errors
/// If the runtime or the store fails.
pub async fn measure(store: &str, args: &Args) -> Result<()> {
    let scheduled = args.jobs.unwrap_or(1_000_000);
    let places = [Place::with_room(store, scheduled), Place::with_room(store, scheduled)];
    let (empty, full) = (places[0].fresh().await?, places[1].fresh().await?);
    let data = "x".repeat(args.payload);
    let began = Instant::now();
    enqueue(&full, scheduled, |n| {
        let mut job = NewJob::of(&Noop::new(data.clone()))?;
        job.when = When::After(DAY + Duration::from_millis(n as u64 % 86_400_000));
        Ok(job)
    })
    .await?;
    let kept = rate(scheduled, began.elapsed());
    let mut rounds = Rounds::default();
    for round in 0..=args.rounds {
        let [enqueued, ran] = ready(&empty, args).await?;
        let [enqueued_beside, ran_beside] = ready(&full, args).await?;
        if round > 0 {
            let ratios = [enqueued_beside / enqueued, ran_beside / ran];
            rounds.push([enqueued, enqueued_beside, ratios[0], ran, ran_beside, ratios[1]]);
        }
    }
    let [middle, p99] = lateness(&full, args).await?;
    let [enqueued, enqueued_beside, enqueue_ratio, ran, ran_beside, run_ratio] = rounds.medians();
    let mut table = Table::default();
    table.rate("scheduled", kept, format!("{scheduled} jobs for a day from now"));
    table.rate("enqueue, nothing scheduled", enqueued, "");
    table.rate("enqueue, beside them", enqueued_beside, format!("ratio {enqueue_ratio:.2}"));
    table.rate("run, nothing scheduled", ran, format!("{} handlers at once", args.concurrency));
    table.rate("run, beside them", ran_beside, format!("ratio {run_ratio:.2}"));
    table.number(
        "a due job starts late by, median",
        middle * 1_000.0,
        "us",
        format!("{DUE} jobs, one each {APART:?}"),
    );
    table.number("and 99th percentile", p99 * 1_000.0, "us", "");
    table.print(&format!(
        "{store}: scheduled jobs, medians of {} rounds of {READY} ready ones, ratios within a round",
        args.rounds
    ));
    Ok(())
}
