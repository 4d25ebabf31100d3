//! Batches, results and kept jobs, with a whole runtime.

mod support;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use steadfast::memory::MemoryBackend;
use steadfast::{
    BatchRecord, Client, DeadReason, EnqueueError, JobContext, JobError, JobId, JobRecord, JobResult,
    JobState, Queue, QueueName, ResultError, RunningRuntime, Runtime, State, job, jobs,
};
use support::{Log, until};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    pages: u32,
}

#[job(retries = 0, result = "1h")]
async fn make_report(pages: u32, ctx: JobContext) -> JobResult<Report> {
    drop(ctx);
    tokio::time::sleep(Duration::from_secs(u64::from(pages))).await;
    if pages == 0 { Err(JobError::permanent("there is nothing to report")) } else { Ok(Report { pages }) }
}

/// Returns no `Result`.
#[job(result = "1h", idempotency = "n")]
async fn add_one(n: u32) -> u32 {
    n + 1
}

#[job(retries = 0, result = "1h")]
async fn write_book(letters: usize) -> JobResult<String> {
    Ok("x".repeat(letters))
}

#[job(keep = "2h")]
async fn keep_me(_n: u32) {}

#[job]
async fn forget_me(_n: u32) {}

#[job(retries = 0)]
async fn photo(n: u32, ctx: JobContext, State(log): State<Log>) -> JobResult {
    if n == 13 {
        return Err(JobError::permanent("bad luck"));
    }
    log.add(format!("photo in a batch: {}", ctx.batch().is_some()));
    Ok(())
}

#[job]
async fn gallery(name: String, State(log): State<Log>) {
    log.add(format!("gallery {name}"));
}

#[job]
async fn mourn(name: String, State(log): State<Log>) {
    log.add(format!("mourn {name}"));
}

/// Enqueues a batch of its own when it completes.
#[job]
async fn album(photos: u32, ctx: JobContext) -> JobResult {
    let client = Client::new(MemoryBackend::new());
    let batch = client.batch().jobs((0..photos).map(Photo::new)).on_complete(Gallery::new("inner".into()));
    for job in batch.prepare()? {
        ctx.then_new(job)?;
    }
    Ok(())
}

fn start(log: &Log, queue: Queue) -> RunningRuntime {
    Runtime::builder(MemoryBackend::new())
        .jobs(jobs![make_report, add_one, write_book, keep_me, forget_me, photo, gallery, mourn, album])
        .state(log.clone())
        .queue("default", queue)
        .build()
        .expect("all is well")
        .start()
}

async fn find(client: &Client, id: JobId) -> Option<JobRecord> {
    client.backend().get(id).await.expect("get works")
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gets_what_the_handler_returned() {
    let running = start(&Log::default(), Queue::default());
    let client = running.client();
    let job = MakeReport::new(7).enqueue(client).await.unwrap();
    assert_eq!(client.handle::<MakeReport>(job.id).result(SOON).await.unwrap(), Report { pages: 7 });
    let job = AddOne::new(1).enqueue(client).await.unwrap();
    assert_eq!(client.handle::<AddOne>(job.id).result(SOON).await.unwrap(), 2);
    // Whose key is taken gets the result of the one that has it.
    let again = AddOne::new(1).enqueue(client).await.unwrap();
    assert!(again.deduplicated);
    assert_eq!(client.handle::<AddOne>(again.id).result(SOON).await.unwrap(), 2);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_in_vain_is_told_why() {
    let running = start(&Log::default(), Queue::default());
    let client = running.client();
    let result = async |id, time| client.handle::<MakeReport>(id).result(time).await.unwrap_err();
    let dead = MakeReport::new(0).enqueue(client).await.unwrap();
    let error = result(dead.id, SOON).await;
    assert!(
        matches!(&error, ResultError::Dead { reason: DeadReason::Permanent, error } if error.contains("nothing to report")),
        "{error:?}"
    );
    let slow = MakeReport::new(60).enqueue(client).await.unwrap();
    let before = Instant::now();
    let error = result(slow.id, SOON).await;
    assert!(matches!(error, ResultError::Timeout { state: JobState::Running }), "{error:?}");
    assert!(before.elapsed() <= SOON, "{:?}", before.elapsed());
    assert_eq!(client.handle::<MakeReport>(slow.id).result(SOON * 2).await.unwrap(), Report { pages: 60 });
    assert!(matches!(result(JobId::new(), SOON).await, ResultError::Gone));
    let forgotten = ForgetMe::new(1).enqueue(client).await.unwrap();
    until("it is forgotten", async || find(client, forgotten.id).await.is_none()).await;
    assert!(matches!(result(forgotten.id, SOON).await, ResultError::Gone));
    let other = KeepMe::new(1).enqueue(client).await.unwrap();
    assert!(matches!(result(other.id, SOON).await, ResultError::Unreadable(_)));
    let number = AddOne::new(1).enqueue(client).await.unwrap();
    assert!(matches!(result(number.id, SOON).await, ResultError::Unreadable(_)));
    // The time of a result is over after an hour.
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    until("it is forgotten", async || find(client, number.id).await.is_none()).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_too_large_is_a_mistake() {
    let running = start(&Log::default(), Queue::default());
    let client = running.client();
    let fits = WriteBook::new(65_534).enqueue(client).await.unwrap();
    assert_eq!(client.handle::<WriteBook>(fits.id).result(SOON).await.unwrap().len(), 65_534);
    let large = WriteBook::new(65_535).enqueue(client).await.unwrap();
    let error = client.handle::<WriteBook>(large.id).result(SOON).await.unwrap_err();
    assert!(
        matches!(&error, ResultError::Dead { reason: DeadReason::Permanent, error } if error.contains("return its id")),
        "{error:?}"
    );
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_type_or_the_queue_keeps_what_has_completed() {
    let queue = Queue::default().keep_completed(Duration::from_secs(60));
    let running = start(&Log::default(), queue);
    let client = running.client();
    let ids = [
        KeepMe::new(1).enqueue(client).await.unwrap().id,
        ForgetMe::new(1).enqueue(client).await.unwrap().id,
    ];
    for id in ids {
        until("it is kept", async || find(client, id).await.is_some_and(|j| j.state == JobState::Completed))
            .await;
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    until("the queue's time is over", async || find(client, ids[1]).await.is_none()).await;
    assert!(find(client, ids[0]).await.is_some(), "the longer time counts");
    running.shutdown().await.unwrap();
}

fn standing(record: BatchRecord) -> (u32, u32, u32) {
    (record.members, record.ended, record.deaths)
}

#[tokio::test(start_paused = true)]
async fn the_next_step_comes_after_all_of_a_batch() {
    let log = Log::default();
    let running = start(&log, Queue::default());
    let client = running.client();
    let batch = client.batch().jobs((0..5).map(Photo::new)).on_complete(Gallery::new("g".into()));
    let id = batch.on_death(Mourn::new("g".into())).enqueue().await.unwrap();
    until("the gallery is there", async || log.lines().len() == 6).await;
    assert_eq!(log.lines()[5], "gallery g");
    assert_eq!(log.lines()[0], "photo in a batch: true");
    assert_eq!(standing(client.batch_status(id).await.unwrap().unwrap()), (5, 5, 0));
    support::until_drained_of(client, &QueueName::from_static("default")).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_death_is_told_and_holds_up_the_rest() {
    let log = Log::default();
    let running = start(&log, Queue::default());
    let client = running.client();
    let batch = client.batch().jobs([1, 13, 2].map(Photo::new)).on_complete(Gallery::new("g".into()));
    let id = batch.on_death(Mourn::new("g".into())).enqueue().await.unwrap();
    until("somebody mourns", async || log.lines().contains(&"mourn g".to_owned())).await;
    until("the others end", async || standing(client.batch_status(id).await.unwrap().unwrap()) == (3, 2, 1))
        .await;
    assert!(!log.lines().contains(&"gallery g".to_owned()));
    let dead = support::dead_of(client, &QueueName::from_static("default")).await;
    client.backend().discard(&[dead[0].id]).await.unwrap();
    until("the gallery is there", async || log.lines().contains(&"gallery g".to_owned())).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_can_be_followed_by_a_batch() {
    let log = Log::default();
    let running = start(&log, Queue::default());
    Album::new(3).enqueue(running.client()).await.unwrap();
    until("the gallery is there", async || log.lines().last().is_some_and(|l| l == "gallery inner")).await;
    assert_eq!(log.lines().len(), 4);
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_waits_for_nothing_is_refused() {
    let client = Client::new(MemoryBackend::new());
    let gallery = || Gallery::new("g".into());
    let refused = [
        client.batch().enqueue().await,
        client.batch().job(Photo::new(1)).enqueue().await,
        client.batch().on_complete(gallery()).enqueue().await,
    ];
    for answer in refused {
        assert!(matches!(answer, Err(EnqueueError::Rejected { .. })), "{answer:?}");
    }
    let jobs = client.batch().job(Photo::new(1)).on_complete(gallery()).prepare().unwrap();
    client.enqueue_new(&jobs).await.unwrap();
    // The same jobs again are the same batch.
    let again = client.enqueue_new(&jobs).await.unwrap();
    assert_eq!(again.iter().map(|e| e.id).collect::<Vec<_>>(), jobs.iter().map(|j| j.id).collect::<Vec<_>>());
    let batch = jobs[1].batch().unwrap();
    assert_eq!(standing(client.batch_status(batch).await.unwrap().unwrap()), (1, 0, 0));
}
