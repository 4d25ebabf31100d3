//! Four answers to "there is such a job already": the newest arguments, a calm run, one run for the last change, and a no.
//!
//! `cargo run --example keys`

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steadfast::memory::MemoryBackend;
use steadfast::{Client, EnqueueError, OnConflict, Queue, Runtime, State, job, jobs};

/// What has run, in order.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn note(&self, what: String) {
        println!("  ran: {what}");
        self.0.lock().expect("nothing panics here").push(what);
    }
}

/// A reminder that can be changed until it goes out.
#[job(unique = "user", on_conflict = replace)]
async fn remind(user: u64, text: String, State(log): State<Log>) {
    log.note(format!("remind {user} {text}"));
}

/// An index that is built when its document has been left alone for a while.
#[job(debounce(key = "document", wait = "200ms", max_wait = "5s"))]
async fn index(document: String, version: u32, State(log): State<Log>) {
    log.note(format!("index {document} {version}"));
}

/// A copy of an account elsewhere: the last change must arrive.
#[job(latest = "account")]
async fn copy(account: u64, change: u32, State(log): State<Log>) {
    tokio::time::sleep(Duration::from_millis(150)).await;
    log.note(format!("copy {account} {change}"));
}

async fn until_idle(client: &Client) -> Result<(), Box<dyn Error>> {
    loop {
        let stats = client.backend().stats(&"default".parse()?).await?;
        if stats.ready + stats.running + stats.scheduled + stats.retrying == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = Arc::new(Log::default());
    let running = Runtime::builder(MemoryBackend::new())
        .state_arc(Arc::clone(&log))
        .jobs(jobs![remind, index, copy])
        .queue("default", Queue::concurrency(4))
        .build()?
        .start();
    let client = running.client();

    println!("a reminder is changed before it goes out");
    let soon = Duration::from_millis(100);
    client.enqueue(Remind::new(1, "at noon".into())).delay(soon).await?;
    let answer = client.enqueue(Remind::new(1, "at one".into())).delay(soon).await?;
    assert!(answer.replaced.is_some());

    println!("whoever must not find one is told who is there");
    let strict = client.enqueue(Remind::new(1, "never".into())).on_conflict(OnConflict::Error).await;
    let Err(EnqueueError::KeyTaken(taken)) = strict else { return Err("the key is taken".into()) };
    println!("  {taken}");
    until_idle(client).await?;

    println!("a document is saved five times, and indexed once");
    for version in 1..=5 {
        client.enqueue(Index::new("report".into(), version)).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until_idle(client).await?;

    println!("an account changes while it is copied, and is copied once more");
    client.enqueue(Copy::new(7, 1)).await?;
    while client.backend().stats(&"default".parse()?).await?.running == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for change in 2..=4 {
        client.enqueue(Copy::new(7, change)).await?;
    }
    until_idle(client).await?;
    running.shutdown().await?;

    let ran = log.0.lock().expect("nothing panics here").clone();
    assert_eq!(ran, ["remind 1 at one", "index report 5", "copy 7 1", "copy 7 4"]);
    Ok(())
}
