//! The line that the project is for, through the facade, on both stores.

use job_conformance::servers::PostgresServer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steadfast::{
    Client, DeadReason, JobResult, JobState, ListFilter, Operate, Queue, QueueName, ResultExt as _, Runtime,
    State, job, jobs,
};
use tokio::time::Instant;

/// What was mailed, and how often each invoice fails first.
#[derive(Debug, Clone, Default)]
struct Mailer {
    runs: Arc<Mutex<HashMap<u64, u32>>>,
    failures: HashMap<u64, u32>,
}

impl Mailer {
    fn send(&self, invoice: u64) -> Result<(), std::io::Error> {
        let mut runs = self.runs.lock().expect("no panic while it is held");
        let run = runs.entry(invoice).or_default();
        *run += 1;
        if *run <= self.failures.get(&invoice).copied().unwrap_or(0) {
            return Err(std::io::Error::other("the mail server does not answer"));
        }
        Ok(())
    }

    fn runs(&self, invoice: u64) -> u32 {
        self.runs.lock().expect("no panic while it is held").get(&invoice).copied().unwrap_or(0)
    }
}

#[job(retries = 5, queue = "email", idempotency = "invoice_id")]
async fn send_invoice(invoice_id: u64, State(mailer): State<Mailer>) -> JobResult {
    if invoice_id == 0 {
        return Err("there is no invoice 0").permanent()?;
    }
    mailer.send(invoice_id)?;
    Ok(())
}

static EMAIL: QueueName = QueueName::from_static("email");

async fn drained(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let s = client.backend().stats(&EMAIL).await.expect("stats work");
        if s.ready + s.running + s.scheduled + s.retrying == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "not drained: {s:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Enqueues twice, fails once, refuses for good: and looks at what became of it.
async fn does_what_it_says(backend: Arc<dyn Operate>) {
    let mailer = Mailer { failures: HashMap::from([(2, 1)]), ..Mailer::default() };
    let runtime = Runtime::builder(backend)
        .state(mailer.clone())
        .jobs(jobs![send_invoice])
        .queue("email", Queue::concurrency(10))
        .build()
        .expect("a good configuration");
    let running = runtime.start();
    let client = running.client();
    let first = SendInvoice::new(1).enqueue(client).await.expect("enqueued");
    let second = SendInvoice::new(1).enqueue(client).await.expect("enqueued");
    assert_eq!((second.id, second.deduplicated), (first.id, true));
    SendInvoice::new(2).enqueue(client).await.expect("enqueued");
    let refused = SendInvoice::new(0).enqueue(client).await.expect("enqueued");
    drained(client).await;
    let third = SendInvoice::new(1).enqueue(client).await.expect("enqueued");
    assert_eq!((third.id, third.deduplicated), (first.id, true), "also after it has completed");
    assert_eq!((mailer.runs(1), mailer.runs(2)), (1, 2));
    let dead =
        client.backend().list(&ListFilter::new(EMAIL.clone(), JobState::Dead)).await.expect("list works");
    let dead: Vec<_> = dead.jobs.iter().map(|j| (j.id, j.dead_reason, j.attempt)).collect();
    assert_eq!(dead, [(refused.id, Some(DeadReason::Permanent), 1)]);
    assert_eq!(running.shutdown().await.expect("a clean end").left_to_expire, 0);
}

#[tokio::test(start_paused = true)]
async fn in_memory() {
    does_what_it_says(steadfast::connect("memory:").await.expect("connects")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let url = PostgresServer::shared().fresh_url();
    does_what_it_says(steadfast::connect(&url).await.expect("connects")).await;
}

/// `retries = 5` is six runs.
#[tokio::test(start_paused = true)]
async fn five_retries_are_six_runs() {
    let mailer = Mailer { failures: HashMap::from([(7, u32::MAX)]), ..Mailer::default() };
    let backend = steadfast::connect("memory:").await.expect("connects");
    let running = Runtime::builder(backend)
        .state(mailer.clone())
        .jobs(jobs![send_invoice])
        .queue("email", Queue::concurrency(10))
        .build()
        .expect("a good configuration")
        .start();
    SendInvoice::new(7).enqueue(running.client()).await.expect("enqueued");
    drained(running.client()).await;
    assert_eq!(mailer.runs(7), 6);
    let dead = running.client().backend().list(&ListFilter::new(EMAIL.clone(), JobState::Dead)).await;
    assert_eq!(dead.expect("list works").jobs[0].dead_reason, Some(DeadReason::Exhausted));
    running.shutdown().await.expect("a clean end");
}
