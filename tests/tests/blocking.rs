//! A blocking handler cannot be dropped: past its timeout it keeps its lease and its slot until it returns.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steadfast::{JobContext, JobResult, Queue, QueueName, Runtime, State, job, jobs};
use tokio::time::Instant;

/// Tells the test where the handler is, and holds it there.
struct Gate {
    told: Mutex<Sender<&'static str>>,
    let_go: Mutex<Receiver<()>>,
}

#[job(blocking, timeout = "20ms", retries = 1, queue = "files", backoff = ["10ms"])]
fn compress(ctx: JobContext, State(gate): State<Gate>) -> JobResult {
    let tell = |what| gate.told.lock().expect("unpoisoned").send(what).expect("the test listens");
    if ctx.attempt() > 1 {
        tell("ran again");
        return Ok(());
    }
    tell("started");
    while !ctx.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    tell("asked to stop");
    gate.let_go.lock().expect("unpoisoned").recv().expect("the test lets go");
    Err("too late".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_blocking_handler_keeps_its_job() {
    let (told, listen) = channel();
    let (open, let_go) = channel();
    let gate = Gate { told: Mutex::new(told), let_go: Mutex::new(let_go) };
    let running = Runtime::builder(steadfast::connect("memory:").await.expect("connects"))
        .state_arc(Arc::new(gate))
        .jobs(jobs![compress])
        .queue("files", Queue::concurrency(4))
        .lease(Duration::from_secs(1))
        // Long over while the handler is held: it does not count for what cannot be dropped.
        .cancel_grace(Duration::from_millis(100))
        .build()
        .expect("a good configuration")
        .start();
    Compress::new().enqueue(running.client()).await.expect("enqueued");
    let listen = Arc::new(Mutex::new(listen));
    let next = || {
        let listen = Arc::clone(&listen);
        async move {
            let heard = move || listen.lock().expect("unpoisoned").recv_timeout(Duration::from_secs(30));
            tokio::task::spawn_blocking(heard).await.expect("no panic").expect("the handler says something")
        }
    };
    assert_eq!(next().await, "started");
    assert_eq!(next().await, "asked to stop");
    // Longer than the lease, which has to be extended all the time.
    let queue = QueueName::from_static("files");
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        let stats = running.client().backend().stats(&queue).await.expect("stats work");
        assert_eq!((stats.running, stats.ready, stats.retrying), (1, 0, 0), "it still runs, and only here");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open.send(()).expect("the handler waits");
    assert_eq!(next().await, "ran again");
    assert_eq!(running.shutdown().await.expect("a clean end").left_to_expire, 0);
}
