//! Effects and checkpoints: an import whose process dies in the middle, twice, and what the world outside sees of it.
//!
//! `cargo run --example effects`

use futures_util::stream;
use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;
use steadfast::memory::MemoryBackend;
use steadfast::{Client, EffectKind, JobContext, JobResult, Queue, Runtime, State, job, jobs};

/// The world outside: a bank that remembers keys, and a text-message service that does not.
#[derive(Default)]
struct World {
    charges: Mutex<Vec<String>>,
    messages: Mutex<u32>,
    rows: Mutex<Vec<u64>>,
}

impl World {
    fn charge(&self, key: &str) -> String {
        let mut charges = self.charges.lock().expect("nothing panics here");
        println!("  the bank is asked to charge, with the key …{}", &key[key.len() - 12..]);
        if !charges.iter().any(|k| k == key) {
            charges.push(key.to_owned());
        }
        format!("receipt {}", charges.len())
    }
}

/// A process that dies is simulated by a handler that never goes on: its timeout ends it.
async fn dies() {
    std::future::pending().await
}

#[job(retries = 3, timeout = "300ms", backoff(fixed, base = "100ms"))]
async fn import_order(order: u64, State(world): State<World>, ctx: JobContext) -> JobResult {
    println!("order {order}, attempt {}", ctx.attempt());
    let after = |row: Option<u64>| stream::iter((row.map_or(1, |r| r + 1)..=5).map(JobResult::Ok));
    ctx.resume_each(after, |row| {
        world.rows.lock().expect("nothing panics here").push(row);
        async move { JobResult::Ok(row) }
    })
    .await?;

    let by_key = EffectKind::IdempotentByKey { remote_ttl: Duration::from_secs(24 * 3600) };
    let first = ctx.attempt() == 1;
    let receipt: String = ctx
        .effect("charge", by_key, |call| async move {
            let receipt = world.charge(call.key());
            if first {
                println!("  … and the process dies before it can note the receipt");
                dies().await;
            }
            JobResult::Ok(receipt)
        })
        .await?;
    println!("  {receipt}");
    ctx.then(ThankCustomer::new(order))?;
    Ok(())
}

#[job(retries = 3, timeout = "300ms", backoff(fixed, base = "100ms"))]
async fn thank_customer(order: u64, State(world): State<World>, ctx: JobContext) -> JobResult {
    println!("thanks for order {order}, attempt {}", ctx.attempt());
    ctx.effect("text", EffectKind::AtMostOnce, |_| async move {
        *world.messages.lock().expect("nothing panics here") += 1;
        println!("  the message goes out, and the process dies before it can note that");
        dies().await;
        JobResult::Ok(())
    })
    .await
}

async fn until_idle(client: &Client) -> Result<u64, Box<dyn Error>> {
    loop {
        let stats = client.backend().stats(&"default".parse()?).await?;
        if stats.ready + stats.running + stats.scheduled + stats.retrying == 0 {
            return Ok(stats.dead);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = std::sync::Arc::new(World::default());
    let running = Runtime::builder(MemoryBackend::new())
        .state_arc(std::sync::Arc::clone(&world))
        .jobs(jobs![import_order, thank_customer])
        .queue("default", Queue::concurrency(4))
        .cancel_grace(Duration::from_millis(10))
        .build()?
        .start();
    ImportOrder::new(7).enqueue(running.client()).await?;
    let dead = until_idle(running.client()).await?;
    running.shutdown().await?;

    let rows = world.rows.lock().expect("nothing panics here").clone();
    let charges = world.charges.lock().expect("nothing panics here").len();
    let messages = *world.messages.lock().expect("nothing panics here");
    println!("rows {rows:?}, {charges} charge, {messages} message, {dead} job in doubt");
    assert_eq!((rows, charges, messages, dead), (vec![1, 2, 3, 4, 5], 1, 1, 1));
    Ok(())
}
