//! A handler with a bug, what it leaves in the dead-letter queue, and how that is emptied after the fix:
//! `cargo run --example dead_letters`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use steadfast::{
    Amendment, Client, DeadFilter, JobResult, Queue, QueueName, Replay, ResultExt, Runtime, State, job, jobs,
};

const QUEUE: QueueName = QueueName::from_static("billing");

/// Stands for the shop: its price list has a gap until somebody fills it.
#[derive(Default)]
struct Shop {
    has_prices: AtomicBool,
    charged: AtomicU32,
}

#[job(queue = "billing", retries = 0)]
async fn charge(order: u64, currency: String, State(shop): State<Shop>) -> JobResult {
    if currency != "EUR" {
        Err(format!("unknown currency {currency:?} in order {order}")).permanent()?;
    }
    if !shop.has_prices.load(Ordering::Relaxed) {
        return Err(format!("no price for order {order} (price list 10.0.0.7:5432)").into());
    }
    shop.charged.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Arc::new(Shop::default());
    let runtime = Runtime::builder(steadfast::connect("memory:").await?)
        .state_arc(Arc::clone(&shop))
        .jobs(jobs![charge])
        .queue("billing", Queue::concurrency(10))
        .build()?
        .start();
    let client = runtime.client();
    let currency = |order| if order == 13 { "EURO" } else { "EUR" };
    client.enqueue_all((1..=40).map(|order| Charge::new(order, currency(order).to_owned()))).await?;
    drained(client).await?;

    println!("── What went wrong");
    let dead = client.dead_letters(QUEUE);
    let found = dead.groups(&DeadFilter::all(), 100_000).await?;
    for group in &found.groups {
        println!("{:>4} × {}  {}", group.count, group.fingerprint, group.error);
    }
    let [no_price, bad_currency] = &found.groups[..] else { return Err("there are two groups".into()) };

    println!("── A wrong argument is mended by hand");
    let job = dead.get(bad_currency.sample).await?.ok_or("it is dead")?;
    println!("     {}", String::from_utf8_lossy(&job.payload));
    dead.amend(job.id, &Amendment::new().payload(r#"{"order":13,"currency":"EUR"}"#)).await?;

    println!("── The price list is filled; the dead jobs run again");
    shop.has_prices.store(true, Ordering::Relaxed);
    let missing = DeadFilter::all().fingerprint(no_price.fingerprint);
    let would = dead.replay(&Replay::matching(missing.clone()).dry_run()).await?;
    println!("     a dry run means {} jobs", would.matched);
    let replay = Replay::matching(missing).pace(100).by("ada").on_progress(|so_far| {
        if so_far.replayed % 10 == 0 {
            println!("     {} replayed, {} left", so_far.replayed, so_far.left);
        }
    });
    dead.replay(&replay).await?;
    dead.replay(&Replay::jobs([job.id]).by("ada")).await?;
    drained(client).await?;
    let left = client.backend().stats(&QUEUE).await?.dead;
    println!("     {} orders are charged, {left} jobs are dead", shop.charged.load(Ordering::Relaxed));
    runtime.shutdown().await?;
    Ok(())
}

async fn drained(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        let stats = client.backend().stats(&QUEUE).await?;
        if stats.ready + stats.running + stats.retrying == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
