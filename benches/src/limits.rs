//! What limits cost that do not bind, how far one that binds is used, and what the many jobs behind one key cost the others.

use crate::args::Args;
use crate::noop::{Count, Noop, noop};
use crate::place::{self, Place, enqueue, one};
use crate::report::{Rounds, Table};
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use steadfast::{JobResult, Limit, NewJob, Operate, Registration, Runtime, State, job, jobs};

/// Handlers at once, and half of it.
const WIDE: usize = 64;
const HALF: u32 = 32;
/// What a handler takes, in ms, and how many of each.
const SHORT: (u64, usize) = (20, 16_000);
const LONG: (u64, usize) = (50, 3_200);
/// Jobs behind one key, and keys of the others.
const BEHIND: usize = 100_000;
const KEYS: usize = 200;

/// The same as the plain one, under a limit.
#[job(queue = "bench", limits = ["wide"])]
async fn limited(data: String, State(count): State<Count>) -> JobResult {
    std::hint::black_box(&data);
    count.one();
    Ok(())
}

#[job(queue = "bench")]
async fn slow(ms: u64, State(count): State<Count>) -> JobResult {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    count.one();
    Ok(())
}

#[job(queue = "bench", limits = ["half"])]
async fn slow_limited(ms: u64, State(count): State<Count>) -> JobResult {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    count.one();
    Ok(())
}

#[job(queue = "bench", timeout = none, concurrency(key = "tenant", limit = 1))]
async fn keyed(tenant: u64, State(count): State<Count>) -> JobResult {
    // The one with the many jobs never gets on.
    if tenant == 0 {
        std::future::pending::<()>().await;
    }
    count.one();
    Ok(())
}

/// Jobs a second of a runtime that has both limits.
async fn run(store: &Arc<dyn Operate>, job: Registration, concurrency: usize, jobs: usize) -> Result<f64> {
    let wide = Limit::concurrency(100_000).rate("1000000/s").burst(1_000_000);
    let runtime = Runtime::builder(Arc::clone(store))
        .jobs([job])
        .limit("wide", wide)
        .limit("half", Limit::concurrency(HALF))
        .cancel_grace(Duration::ZERO);
    place::run(runtime, concurrency, jobs).await
}

/// One job a second with and without a limit that does not bind, in turn.
async fn cost(place: &Place, jobs: usize, args: &Args) -> Result<[f64; 2]> {
    let data = "x".repeat(args.payload);
    let store = place.fresh().await?;
    enqueue(&store, jobs, |_| Ok(NewJob::of(&Noop::new(data.clone()))?)).await?;
    let free = run(&store, one(jobs![noop])?, args.concurrency, jobs).await?;
    let store = place.fresh().await?;
    enqueue(&store, jobs, |_| Ok(NewJob::of(&Limited::new(data.clone()))?)).await?;
    Ok([free, run(&store, one(jobs![limited])?, args.concurrency, jobs).await?])
}

/// As many handlers as the limit allows without one, and twice as many under it.
async fn used(place: &Place, (ms, jobs): (u64, usize)) -> Result<[f64; 2]> {
    let store = place.fresh().await?;
    enqueue(&store, jobs, |_| Ok(NewJob::of(&Slow::new(ms))?)).await?;
    let free = run(&store, one(jobs![slow])?, HALF as usize, jobs).await?;
    let store = place.fresh().await?;
    enqueue(&store, jobs, |_| Ok(NewJob::of(&SlowLimited::new(ms))?)).await?;
    Ok([free, run(&store, one(jobs![slow_limited])?, WIDE, jobs).await?])
}

/// Jobs of many keys, alone and beside a key with very many.
async fn behind(place: &Place) -> Result<[f64; 2]> {
    let jobs = 20_000;
    let mut rates = [0.0; 2];
    for (many, rate) in rates.iter_mut().enumerate() {
        let store = place.fresh().await?;
        enqueue(&store, many * BEHIND, |_| Ok(NewJob::of(&Keyed::new(0))?)).await?;
        enqueue(&store, jobs, |n| Ok(NewJob::of(&Keyed::new(1 + (n % KEYS) as u64))?)).await?;
        *rate = run(&store, one(jobs![keyed])?, 256, jobs).await?;
    }
    Ok(rates)
}

/// Measures one store.
///
/// # Errors
/// If the runtime or the store fails.
pub async fn measure(store: &str, args: &Args) -> Result<()> {
    let place = Place::of(store);
    let jobs = args.jobs.unwrap_or(if store == "memory" { 500_000 } else { 100_000 });
    let mut rounds = Rounds::default();
    for round in 0..=args.rounds {
        let [free, limited] = cost(&place, jobs, args).await?;
        let [ideal, half] = used(&place, SHORT).await?;
        let [long, half_long] = used(&place, LONG).await?;
        let [alone, beside] = behind(&place).await?;
        if round > 0 {
            rounds.push([
                free,
                limited,
                limited / free,
                ideal,
                half,
                half / ideal,
                long,
                half_long,
                half_long / long,
                alone,
                beside,
                beside / alone,
            ]);
        }
    }
    let [free, limited, cost, ideal, half, used, long, half_long, used_long, alone, beside, kept] =
        rounds.medians();
    let mut table = Table::default();
    table.rate("no limit", free, format!("{} handlers at once", args.concurrency));
    table.rate(
        "a limit that does not bind",
        limited,
        format!("100,000 at once, 1,000,000/s; ratio {cost:.2}"),
    );
    table.rate("32 handlers of 20 ms", ideal, "no limit");
    table.rate("64 under a limit of 32", half, format!("ratio {used:.2}"));
    table.rate("32 handlers of 50 ms", long, "no limit");
    table.rate("64 under a limit of 32", half_long, format!("ratio {used_long:.2}"));
    table.rate("200 keys, one at a time each", alone, "256 handlers at once");
    table.rate("beside 100,000 jobs of one key", beside, format!("ratio {kept:.2}"));
    table.print(&format!("{store}: limits, medians of {} rounds, ratios within a round", args.rounds));
    Ok(())
}
