//! Trace context that travels with jobs, times of attempts, and arguments that the store cannot read:
//! `cargo run --example middleware`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use steadfast::memory::MemoryBackend;
use steadfast::{
    Encryption, EnqueueError, Job, JobContext, JobFuture, JobResult, Keyring, Middleware, NewJob, Runtime,
    SecretKey, Verdict, job, jobs,
};

tokio::task_local!(static TRACE: String);

/// The trace of whoever enqueues goes on in the handler. With a tracing library, `traceparent` goes here.
struct Traced;

impl Middleware for Traced {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        if let Ok(trace) = TRACE.try_with(Clone::clone) {
            job.headers.insert("traceparent".into(), trace);
        }
        Ok(())
    }

    fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        let trace = ctx.headers().get("traceparent").cloned().unwrap_or_else(|| "(none)".into());
        Box::pin(TRACE.scope(trace, handler))
    }
}

/// Counts and times attempts, however they end.
#[derive(Default)]
struct Metrics {
    completed: AtomicU32,
    failed: AtomicU32,
}

impl Middleware for Metrics {
    fn ended(&self, ctx: &JobContext, verdict: &Verdict, took: Duration) {
        let counter = if verdict.is_complete() { &self.completed } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        println!("{} attempt {} took {took:.0?}", ctx.kind(), ctx.attempt());
    }
}

/// Version 1 stored the amount in whole euros.
fn in_cents(from: u32, mut args: serde_json::Value) -> Result<serde_json::Value, String> {
    if from < 2 {
        let euros = args["euros"].as_u64().ok_or("there is no amount")?;
        args["cents"] = (euros * 100).into();
    }
    Ok(args)
}

#[job(version = 2, upgrade = in_cents, redact = ["card_number"], backoff(fixed, base = "50ms"))]
async fn charge(cents: u64, card_number: String, ctx: JobContext) -> JobResult {
    if ctx.attempt() == 1 {
        return Err("the bank did not answer".into());
    }
    println!("charged {cents} cents to …{}, in trace {}", &card_number[card_number.len() - 4..], TRACE.get());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let metrics = Arc::new(Metrics::default());
    let keys = Keyring::new("2026", SecretKey::random()?)?; // a real key: SecretKey::from_hex(&std::env::var("KEY")?)
    let runtime = Runtime::builder(MemoryBackend::new())
        .jobs(jobs![charge])
        .middleware(Traced)
        .middleware(Arc::clone(&metrics))
        .middleware(Encryption::new(keys).require()) // last: it changes the payload
        .build()?;
    let running = runtime.start();
    let client = running.client();

    let job = Charge::new(1250, "4111 1111 1111 1111".into());
    println!("enqueueing {job:?}");
    let stored = TRACE.scope("00-4bf92f35-01".into(), async { client.enqueue(job).await }).await?;
    if let Some(record) = client.backend().get(stored.id).await? {
        println!("stored as {}", Charge::spec().redacted(&record.payload));
    }
    while client.backend().get(stored.id).await?.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.shutdown().await?;
    let (completed, failed) = (&metrics.completed, &metrics.failed);
    println!("{} completed, {} failed", completed.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    Ok(())
}
