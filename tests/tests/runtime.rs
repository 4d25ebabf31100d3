//! What becomes of jobs in a whole runtime, on the in-memory backend under paused time.

mod support;

use backend_memory::MemoryBackend;
use job_core::{
    Cancelled, DeadReason, JobError, Kind, NewJob, Operate, Queue, Registration, ResultExt as _, Runtime,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, QUEUE, Script, dead, runtime, until, until_drained};
use tokio::time::{Instant, sleep, timeout};

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_runs_again_until_it_succeeds() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move {
            seen.add(format!("attempt {}", ctx.attempt()));
            if ctx.attempt() < 3 { Err("not yet".into()) } else { Ok(()) }
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let began = Instant::now();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    assert_eq!(log.lines(), ["attempt 1", "attempt 2", "attempt 3"]);
    assert!(began.elapsed() >= Duration::from_secs(2), "two backoffs of 1 s");
    assert!(dead(running.client()).await.is_empty());
    assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_ends_where_it_should() {
    let script = Script::new(|n, ctx| async move {
        match n {
            1 => Err("always".into()),
            2 => Err::<(), _>("hopeless").permanent().map_err(JobError::from),
            3 => panic!("boom {}", ctx.attempt()),
            4 => {
                sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    client.enqueue_all((1..=5).map(|n| Act { n })).await.unwrap();
    let garbage = NewJob::new(Kind::from_static("act"), QUEUE, r#"{"n": "not a number"}"#);
    client.enqueue_new(std::slice::from_ref(&garbage)).await.unwrap();
    until_drained(client).await;
    let mut dead: Vec<_> = dead(client).await;
    dead.sort_by_key(|j| j.id);
    let ended: Vec<_> = dead
        .iter()
        .map(|j| (j.dead_reason.unwrap(), j.attempt, j.errors.last().unwrap().error.as_str()))
        .collect();
    assert_eq!(
        ended,
        [
            (DeadReason::Exhausted, 3, "always"),
            (DeadReason::Permanent, 1, "hopeless"),
            (DeadReason::Exhausted, 3, "panicked: boom 3"),
            (DeadReason::Exhausted, 3, "timed out after 30s"),
            (
                DeadReason::Undecodable,
                1,
                "at `n`: invalid type: string \"not a number\", expected u64 at line 1 column 20"
            ),
        ]
    );
    running.shutdown().await.unwrap();
}

/// An error whose text cannot be made.
#[derive(Debug)]
struct Mute;

impl std::fmt::Display for Mute {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Mute {}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_is_a_failure_like_any_other() {
    let running = runtime(memory(), Script::new(|_, _| async { Err(Mute.into()) })).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    let dead = dead(running.client()).await;
    let errors: Vec<_> = dead[0].errors.iter().map(|e| e.error.as_str()).collect();
    assert_eq!((dead[0].attempt, errors), (3, vec!["panicked: no words"; 3]));
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_snooze_does_not_count_as_an_attempt() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move {
            seen.add(format!("attempt {}", ctx.attempt()));
            if seen.lines().len() < 5 { Err(JobError::snooze(Duration::from_secs(60))) } else { Ok(()) }
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    assert_eq!(log.lines(), ["attempt 1"; 5]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_than_the_concurrency_allows() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (n, m) = (Arc::clone(&now), Arc::clone(&most));
    let script = Script::new(move |i, _| {
        let (n, m) = (Arc::clone(&n), Arc::clone(&m));
        async move {
            m.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(i % 7)).await;
            n.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let running = runtime(memory(), script).default_queue(Queue::concurrency(4)).build().unwrap().start();
    running.client().enqueue_all((0..500).map(|n| Act { n })).await.unwrap();
    until_drained(running.client()).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_longer_than_its_lease_runs_once() {
    let backend = memory();
    let log = Log::default();
    let start = |log: &Log| {
        let seen = log.clone();
        let script = Script::new(move |_, _| {
            let seen = seen.clone();
            async move {
                seen.add("run");
                sleep(Duration::from_secs(25)).await;
                Ok(())
            }
        });
        runtime(Arc::clone(&backend), script).lease(Duration::from_secs(1)).build().unwrap().start()
    };
    let (one, two) = (start(&log), start(&log));
    one.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(one.client()).await;
    assert_eq!(log.count("run"), 1);
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_running_job_is_cancelled_through_its_lease() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move {
            seen.add("run");
            ctx.cancellation().cancelled().await;
            seen.add("asked to stop");
            Err(JobError::cancelled())
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    let job = client.enqueue(Act { n: 1 }).await.unwrap();
    until("it runs", async || log.count("run") == 1).await;
    let asked = Instant::now();
    assert_eq!(client.backend().cancel(job.id).await.unwrap(), Cancelled::Asked);
    until_drained(client).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "with the next extension, not by its timeout of 30 s");
    assert_eq!(log.lines(), ["run", "asked to stop"]);
    assert!(dead(client).await.is_empty());
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_wait_and_lose_no_attempt() {
    let running = runtime(memory(), Script::new(|_, _| async { Ok(()) })).build().unwrap().start();
    let client = running.client();
    let stranger = NewJob::new(Kind::from_static("stranger"), QUEUE, "{}");
    client.enqueue_new(std::slice::from_ref(&stranger)).await.unwrap();
    client.enqueue(Act { n: 1 }).await.unwrap();
    until("the known one is done", async || client.backend().stats(&QUEUE).await.unwrap().ready == 1).await;
    let waiting = client.backend().get(stranger.id).await.unwrap().expect("it waits");
    assert_eq!((waiting.attempt, waiting.claims), (0, 0));
    running.shutdown().await.unwrap();
}

/// Wake-ups are only a hint: a store whose listener is dead for good has its jobs found all the same.
#[tokio::test(start_paused = true)]
async fn jobs_are_found_without_wake_ups() {
    let backend =
        Faulty::over(memory(), |operation| if operation == "wait" { Fault::Hang } else { Fault::None });
    let poll = Duration::from_millis(300);
    let script = Script::new(|_, _| async { Ok(()) });
    let running = runtime(backend, script).poll_max(poll).build().unwrap().start();
    for n in 0..3 {
        sleep(Duration::from_secs(10)).await;
        running.client().enqueue(Act { n }).await.unwrap();
        let drained = timeout(poll + Duration::from_millis(50), until_drained(running.client())).await;
        assert!(drained.is_ok(), "job {n} was not looked for");
    }
    running.shutdown().await.unwrap();
}

/// Jobs that were claimed ahead wait behind each other; one that cannot be read takes none with it.
#[tokio::test(start_paused = true)]
async fn undecodable_jobs_harm_no_others() {
    let script = Script::new(|_, _| async {
        sleep(Duration::from_millis(1)).await;
        Ok(())
    });
    let running = runtime(memory(), script).default_queue(Queue::concurrency(1)).build().unwrap().start();
    let client = running.client();
    let jobs = (0..300).map(|n| match n % 10 {
        5 => NewJob::new(Kind::from_static("act"), QUEUE, "[]"),
        _ => NewJob::of(&Act { n }).unwrap(),
    });
    client.enqueue_new(&jobs.collect::<Vec<_>>()).await.unwrap();
    timeout(Duration::from_secs(60), until_drained(client)).await.expect("the others are done");
    let dead = dead(client).await;
    assert_eq!(dead.len(), 30);
    assert!(dead.iter().all(|j| j.dead_reason == Some(DeadReason::Undecodable)));
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_mistake_of_the_configuration_is_reported_at_once() {
    let error = Runtime::builder(MemoryBackend::new())
        .jobs([Registration::of::<Act>(), Registration::of::<Act>()])
        .state(1_u8)
        .state(2_u8)
        .queue("Bad Name", Queue::default())
        .queue("idle", Queue::concurrency(0))
        .lease(Duration::from_millis(1))
        .cancel_grace(Duration::from_secs(60))
        .only_queues(["nowhere"])
        .require_durability(job_core::DurabilityClass::LocalDisk)
        .build()
        .expect_err("everything is wrong");
    let text = error.to_string();
    for part in [
        "State<u8> is given twice",
        "queue name \"Bad Name\" is not valid",
        "queue idle has concurrency 0",
        "lease 1ms is not between",
        "cancel_grace 60s is longer than shutdown_deadline 25s",
        "only_queues names \"nowhere\"",
        "job act is registered twice",
        "LocalDisk is required",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let missing = Runtime::builder(MemoryBackend::new()).build().expect_err("no job");
    assert!(missing.to_string().contains("no job is registered"), "{missing}");
}

#[tokio::test(start_paused = true)]
async fn a_job_starts_within_100_ms_of_its_time() {
    let log: Arc<std::sync::Mutex<Vec<Instant>>> = Arc::default();
    let seen = Arc::clone(&log);
    let script = Script::new(move |_, _| {
        seen.lock().unwrap().push(Instant::now());
        async { Ok(()) }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    for n in 0..60 {
        // At any moment between two rounds of maintenance, and due before the next one or long after it.
        sleep(Duration::from_millis(700 + 37 * n)).await;
        let delay = Duration::from_millis(20 + 31 * n % 1_300);
        let due = Instant::now() + delay;
        client.enqueue(Act { n }).delay(delay).await.unwrap();
        until_drained(client).await;
        let started = *log.lock().unwrap().last().unwrap();
        let late = started.saturating_duration_since(due);
        assert!(started >= due && late < Duration::from_millis(100), "a delay of {delay:?}, {late:?} late");
    }
    running.shutdown().await.unwrap();
}
