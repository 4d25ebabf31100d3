//! What a job runtime does, in four seconds, on the embedded backend: `cargo run --example quickstart`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use steadfast::{
    Client, JobContext, JobResult, JobState, ListFilter, Queue, QueueName, ResultExt, Runtime, State, job,
    jobs,
};

/// Stands for a mail provider: down for the first tries of some invoices.
#[derive(Default)]
struct Mailer {
    tries: Mutex<HashMap<u64, u32>>,
    sent: AtomicU32,
    customer_8_exists: AtomicBool,
}

impl Mailer {
    async fn send(&self, invoice_id: u64) -> Result<(), String> {
        let tries = *self
            .tries
            .lock()
            .expect("no panic holds it")
            .entry(invoice_id)
            .and_modify(|n| *n += 1)
            .or_insert(1);
        if invoice_id == 7 && tries <= 2 {
            return Err("the mail server did not answer".into());
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn address_of(&self, invoice_id: u64) -> Result<String, String> {
        if invoice_id == 8 && !self.customer_8_exists.load(Ordering::Relaxed) {
            return Err("no customer for invoice 8".into());
        }
        Ok(format!("customer{invoice_id}@example.com"))
    }
}

/// The whole job: an ordinary async function with options.
#[job(
    retries = 5,
    queue = "email",
    idempotency = "invoice_id",
    backoff(exponential, base = "400ms", max = "2s", jitter = "none")
)]
async fn send_invoice(invoice_id: u64, State(mailer): State<Mailer>, ctx: JobContext) -> JobResult {
    let to = mailer.address_of(invoice_id).permanent()?; // no such customer: trying again cannot help
    if let Err(error) = mailer.send(invoice_id).await {
        say(&format!(
            "invoice {invoice_id}: attempt {} failed ({error}), will retry with backoff",
            ctx.attempt()
        ));
        return Err(error.into()); // anything else: run again later
    }
    say(&format!("invoice {invoice_id}: sent to {to} on attempt {}", ctx.attempt()));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    say("starting a runtime on the in-memory backend");
    let runtime = Runtime::builder(steadfast::connect("memory:").await?)
        .state_arc(mailer())
        .jobs(jobs![send_invoice])
        .queue("email", Queue::concurrency(10))
        .build()?
        .start();
    let jobs = runtime.client().clone();

    title("A job");
    SendInvoice::new(1).enqueue(&jobs).await?;
    until_sent(1).await;

    title("The same request twice");
    let first = SendInvoice::new(2).enqueue(&jobs).await?;
    let again = SendInvoice::new(2).enqueue(&jobs).await?;
    until_sent(2).await;
    say(&format!(
        "enqueued twice with one key: same job {}, deduplicated {}",
        first.id == again.id,
        again.deduplicated
    ));

    title("A failure that passes");
    SendInvoice::new(7).enqueue(&jobs).await?;
    until_sent(3).await;

    title("A failure that does not");
    SendInvoice::new(8).enqueue(&jobs).await?;
    let dead = dead_job(&jobs).await?;
    say(&format!("invoice 8: dead ({}) after {} attempt: {}", dead.reason, dead.attempts, dead.error));
    mailer().customer_8_exists.store(true, Ordering::Relaxed);
    say("the customer is added; replaying the dead job");
    jobs.backend().replay(&[dead.id]).await?;
    until_sent(4).await;

    title("A job for later");
    let asked = Instant::now();
    SendInvoice::new(9).enqueue_in(Duration::from_secs(1), &jobs).await?;
    say("invoice 9: scheduled in 1 s");
    until_sent(5).await;
    say(&format!("it ran {:.1} s after it was asked for", asked.elapsed().as_secs_f64()));

    title("The end");
    let report = runtime.shutdown().await?;
    say(&format!(
        "shut down in {} ms, {} jobs left unsettled",
        report.took.as_millis(),
        report.left_to_expire
    ));
    Ok(())
}

struct Dead {
    id: steadfast::JobId,
    reason: String,
    attempts: u32,
    error: String,
}

/// Waits until something is in the dead-letter queue.
async fn dead_job(jobs: &Client) -> Result<Dead, steadfast::BackendError> {
    let filter = ListFilter::new(QueueName::from_static("email"), JobState::Dead);
    loop {
        if let Some(job) = jobs.backend().list(&filter).await?.jobs.pop() {
            return Ok(Dead {
                id: job.id,
                reason: job.dead_reason.map(|r| r.to_string()).unwrap_or_default(),
                attempts: job.attempt,
                error: job.errors.last().map(|e| e.error.clone()).unwrap_or_default(),
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_sent(count: u32) {
    while mailer().sent.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn mailer() -> std::sync::Arc<Mailer> {
    static MAILER: std::sync::LazyLock<std::sync::Arc<Mailer>> = std::sync::LazyLock::new(Default::default);
    std::sync::Arc::clone(&MAILER)
}

fn say(text: &str) {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    println!("{:>6.2} s  {text}", START.elapsed().as_secs_f64());
}

fn title(text: &str) {
    println!("\n── {text}");
}
