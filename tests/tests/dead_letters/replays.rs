//! Replays that can be tried, paced, stopped and resumed, and what finds the jobs for them.

use crate::support::{self, Act, Fault, Faulty, Log, QUEUE, Script, runtime, until_drained};
use backend_memory::MemoryBackend;
use job_core::{
    Client, DeadFilter, DeadLetters, DeadReason, Discard, ErrorKind, Fingerprint, Job, JobError, JobId,
    NewJob, Operate, Replay, RunningRuntime, UniqueKey,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const JOBS: u64 = 1_000;

/// A handler with a bug that fails in three ways, and a switch that mends it.
#[derive(Debug, Clone, Default)]
struct Shop {
    mended: Arc<AtomicBool>,
    done: Log,
}

impl Shop {
    fn run(&self, n: u64) -> Result<(), JobError> {
        if self.mended.load(Ordering::SeqCst) {
            self.done.add(n.to_string());
            return Ok(());
        }
        Err(JobError::permanent(match n % 4 {
            0 | 1 => format!("no customer for invoice {n} (request {:#x})", n * 7_919),
            2 => format!("10.0.0.{}:5432 refused connection {n}", n % 250),
            _ => format!("template \"letter-{n}\" has no field 'total'"),
        }))
    }
}

/// A runtime of the shop whose jobs `0..jobs` are dead.
async fn shop(store: Arc<dyn Operate>, jobs: u64) -> (Shop, RunningRuntime, DeadLetters) {
    let shop = Shop::default();
    let handler = shop.clone();
    let script = Script::new(move |n, _| {
        let answer = handler.run(n);
        async move { answer }
    });
    let running = runtime(store, script).build().expect("a good runtime").start();
    running.client().enqueue_all((0..jobs).map(|n| Act { n })).await.expect("stored");
    until_drained(running.client()).await;
    let dead = running.client().dead_letters(QUEUE);
    (shop, running, dead)
}

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

async fn count(client: &Client) -> u64 {
    client.backend().stats(&QUEUE).await.expect("stats work").dead
}

fn first_of_shop() -> Fingerprint {
    Fingerprint::of_text("no customer for invoice 1 (request 0x1eef)")
}

#[tokio::test(start_paused = true)]
async fn a_paced_replay_of_one_group_drains_through_the_mended_handler() {
    let (shop, running, dead) = shop(memory(), JOBS).await;
    let found = dead.groups(&DeadFilter::all(), 10_000).await.unwrap();
    let counts: Vec<_> = found.groups.iter().map(|g| g.count).collect();
    assert_eq!((counts, found.looked_at, found.cut), (vec![500, 250, 250], JOBS, false));
    let worst = &found.groups[0];
    assert_eq!(worst.fingerprint, first_of_shop());
    assert!(worst.error.starts_with("no customer for invoice"), "{}", worst.error);
    assert_eq!(worst.reasons.get(&DeadReason::Permanent), Some(&500));
    assert_eq!(worst.kinds.values().sum::<u64>(), 500);
    assert!(worst.first_died <= worst.last_died);

    shop.mended.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let told = Log::default();
    let log = told.clone();
    let replay = Replay::matching(DeadFilter::all().fingerprint(worst.fingerprint)).pace(50).on_progress(
        move |so_far| {
            let most = 50 * begun.elapsed().as_millis() / 1_000 + 10;
            assert!(u128::from(so_far.replayed) <= most, "{} after {:?}", so_far.replayed, begun.elapsed());
            assert_eq!(so_far.replayed + so_far.left, 500);
            log.add(so_far.replayed.to_string());
        },
    );
    let report = dead.replay(&replay).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(9_900),
        "500 jobs at 50 a second took {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(11), "took {:?}", begun.elapsed());
    assert_eq!((report.matched, report.replayed, report.skipped), (500, 500, 0));
    assert_eq!((report.gone, report.left, report.stopped), (0, 0, false));
    assert_eq!((told.lines().first().unwrap().as_str(), told.lines().len()), ("0", 101));

    until_drained(running.client()).await;
    let mut done: Vec<u64> = shop.done.lines().iter().map(|n| n.parse().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(
        done,
        (0..JOBS).filter(|n| n % 4 < 2).collect::<Vec<_>>(),
        "each of the group ran once, and no other"
    );
    assert_eq!(count(running.client()).await, 500);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stopped_replay_is_resumed_where_it_was() {
    let (shop, running, dead) = shop(memory(), JOBS).await;
    shop.mended.store(true, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let halt = stop.clone();
    let first = Replay::matching(DeadFilter::all()).pace(100).stop(stop).on_progress(move |so_far| {
        if so_far.replayed >= 300 {
            halt.cancel();
        }
    });
    let stopped = dead.replay(&first).await.unwrap();
    assert_eq!((stopped.replayed, stopped.left, stopped.stopped), (300, 700, true));
    until_drained(running.client()).await;
    assert_eq!(shop.done.lines().len(), 300);

    let rest = Replay::matching(DeadFilter::all()).resume(stopped.id, stopped.cutoff.unwrap());
    let report = dead.replay(&rest).await.unwrap();
    assert_eq!((report.id, report.matched, report.replayed, report.left), (stopped.id, 700, 700, 0));
    until_drained(running.client()).await;
    let mut done = shop.done.lines();
    done.sort_unstable();
    done.dedup();
    assert_eq!((done.len(), shop.done.lines().len()), (1_000, 1_000));
    running.shutdown().await.unwrap();
}

/// A replay whose future is dropped has replayed what it told of, perhaps one call more.
#[tokio::test(start_paused = true)]
async fn a_dropped_replay_is_resumed_where_it_was() {
    let (shop, running, dead) = shop(memory(), 200).await;
    shop.mended.store(true, Ordering::SeqCst);
    let told = Arc::new(std::sync::Mutex::new(None));
    let last = Arc::clone(&told);
    let replay = Replay::matching(DeadFilter::all()).pace(20).on_progress(move |so_far| {
        *last.lock().unwrap() = Some(so_far.clone());
    });
    assert!(tokio::time::timeout(Duration::from_secs(5), dead.replay(&replay)).await.is_err());
    let so_far = told.lock().unwrap().clone().unwrap();
    assert!((90..=110).contains(&so_far.replayed), "{so_far:?}");
    let rest = Replay::matching(DeadFilter::all()).resume(so_far.id, so_far.cutoff.unwrap());
    let report = dead.replay(&rest).await.unwrap();
    assert_eq!(report.replayed + so_far.replayed, 200);
    until_drained(running.client()).await;
    assert_eq!(shop.done.lines().len(), 200);
    running.shutdown().await.unwrap();
}

/// The handler is not mended, and a job dies again at once, while the replay still runs.
#[tokio::test(start_paused = true)]
async fn what_dies_again_is_not_replayed_again() {
    let runs = Log::default();
    let log = runs.clone();
    let script = Script::new(move |n, _| {
        log.add(n.to_string());
        async move { Err(JobError::permanent(format!("job {n} fails"))) }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    running.client().enqueue_all((0..300).map(|n| Act { n })).await.unwrap();
    until_drained(running.client()).await;
    let dead = running.client().dead_letters(QUEUE);
    let report = dead.replay(&Replay::matching(DeadFilter::all()).pace(100)).await.unwrap();
    assert_eq!((report.matched, report.replayed, report.gone), (300, 300, 0));
    until_drained(running.client()).await;
    assert_eq!((runs.lines().len(), count(running.client()).await), (600, 300));

    let again = Replay::matching(DeadFilter::all()).resume(report.id, report.cutoff.unwrap());
    let repeated = dead.replay(&again).await.unwrap();
    assert_eq!((repeated.matched, repeated.replayed), (0, 0), "the same replay has nothing left to do");
    until_drained(running.client()).await;
    assert_eq!(runs.lines().len(), 600);
    assert_eq!(
        dead.replay(&Replay::matching(DeadFilter::all())).await.unwrap().replayed,
        300,
        "another one has"
    );
    running.shutdown().await.unwrap();
}

/// Somebody else replays the same jobs meanwhile, and they die again: that is none of this replay's business.
#[tokio::test(start_paused = true)]
async fn jobs_that_others_have_replayed_are_left_alone() {
    let (_, running, dead) = shop(memory(), 10).await;
    let ids: Vec<JobId> =
        dead.list(&DeadFilter::all(), None, 10).await.unwrap().jobs.iter().map(|j| j.id).collect();
    let twice = Replay::jobs(ids.iter().copied().chain(ids.iter().copied())).pace(1);
    let slow = dead.replay(&twice);
    let (report, other) = tokio::join!(slow, async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let (backend, mut answers) = (running.client().backend(), 0);
        for id in &ids {
            answers += usize::from(backend.replay(&[*id]).await.unwrap()[0]);
        }
        until_drained(running.client()).await;
        answers
    });
    let report = report.unwrap();
    assert_eq!(other, 10, "those that the replay had done were dead again as well");
    assert_eq!((report.matched, report.replayed, report.gone, report.skipped), (10, 3, 7, 0));
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let (_, running, dead) = shop(memory(), 400).await;
    let filter = DeadFilter::all().error_contains("template");
    let wanted = dead.list(&filter, None, 400).await.unwrap().jobs;
    let before = support::dead(running.client()).await;
    let report = dead.replay(&Replay::matching(filter.clone()).dry_run()).await.unwrap();
    assert_eq!((report.matched, report.replayed, report.left), (100, 0, 100));
    assert_eq!(report.first, wanted.iter().map(|j| j.id).collect::<Vec<_>>());
    let report = dead.discard(&Discard::matching(filter.clone()).dry_run()).await.unwrap();
    assert_eq!((report.matched, report.discarded, report.first.len()), (100, 0, 100));
    assert_eq!(support::dead(running.client()).await, before);

    let report = dead.discard(&Discard::matching(filter.clone()).by("ada")).await.unwrap();
    assert_eq!((report.matched, report.discarded), (100, 100));
    assert_eq!(count(running.client()).await, 300);
    assert!(dead.list(&filter, None, 10).await.unwrap().jobs.is_empty());
    let some = support::dead(running.client()).await[..3].iter().map(|j| j.id).collect::<Vec<_>>();
    assert_eq!(dead.discard(&Discard::jobs(some)).await.unwrap().discarded, 3);
    assert_eq!(count(running.client()).await, 297);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_unique_key_is_taken_is_skipped() {
    let (shop, running, dead) = shop(memory(), 5).await;
    let client = running.client();
    let key = || Some(UniqueKey { scope: "act".into(), key: "one".into() });
    let mut old = NewJob::of(&Act { n: 100 }).unwrap();
    old.unique = key();
    client.enqueue_new(&[old.clone()]).await.unwrap();
    until_drained(client).await;
    client.backend().pause(&QUEUE).await.unwrap();
    let mut new = NewJob::of(&Act { n: 101 }).unwrap();
    new.unique = key();
    client.enqueue_new(&[new]).await.unwrap();

    shop.mended.store(true, Ordering::SeqCst);
    let never = JobId::new();
    let ids: Vec<_> = support::dead(client).await.iter().map(|j| j.id).chain([never]).collect();
    let report = dead.replay(&Replay::jobs(ids)).await.unwrap();
    assert_eq!((report.matched, report.replayed, report.skipped, report.gone), (7, 5, 1, 1));
    assert_eq!(support::dead(client).await.iter().map(|j| j.id).collect::<Vec<_>>(), [old.id]);
    client.backend().resume(&QUEUE).await.unwrap();
    until_drained(client).await;
    let rest = Replay::matching(DeadFilter::all()).resume(report.id, report.cutoff.unwrap());
    assert_eq!(dead.replay(&rest).await.unwrap().replayed, 1, "the key is free again");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn filters_mean_what_they_say() {
    let (_, running, dead) = shop(memory(), 40).await;
    let matching = async |filter: DeadFilter| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = dead.list(&filter, after, 3).await.unwrap();
            assert!(page.jobs.len() <= 3 && (!page.jobs.is_empty() || page.next.is_none()));
            ids.extend(page.jobs.iter().map(|j| j.id));
            after = page.next;
            if after.is_none() {
                return ids.len();
            }
        }
    };
    let last = support::dead(running.client()).await.pop().unwrap();
    let died = last.died_at.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.client().enqueue(Act { n: 3 }).await.unwrap();
    until_drained(running.client()).await;
    let all = DeadFilter::all;
    assert_eq!(matching(all()).await, 41);
    assert_eq!(matching(all().kind(Act::spec().kind.clone())).await, 41);
    assert_eq!(matching(all().kind(job_core::Kind::from_static("other"))).await, 0);
    assert_eq!(matching(all().reason(DeadReason::Permanent)).await, 41);
    assert_eq!(matching(all().reason(DeadReason::Exhausted)).await, 0);
    assert_eq!(matching(all().fingerprint(first_of_shop())).await, 20);
    assert_eq!(matching(all().error_contains("refused connection 2")).await, 3, "2, 22 and 26");
    let later = died + jiff::SignedDuration::from_millis(500);
    assert_eq!(matching(all().died_from(later)).await, 1);
    assert_eq!(matching(all().died_before(later)).await, 40);
    assert_eq!(matching(all().died_before(later).died_from(later)).await, 0);
    let cut = dead.groups(&all(), 7).await.unwrap();
    assert_eq!((cut.looked_at, cut.cut), (7, true));
    assert_eq!(cut.groups.iter().map(|g| g.count).sum::<u64>(), 7);
    assert!(running.client().dead_letters("other".parse().unwrap()).get(last.id).await.unwrap().is_none());
    running.shutdown().await.unwrap();
}

/// The store is away now and then, and loses answers: each job is replayed once all the same.
#[tokio::test(start_paused = true)]
async fn a_replay_gets_through_outages() {
    let calls = Arc::new(AtomicUsize::new(0));
    let store = Faulty::over(memory(), move |operation| match operation {
        "replay" => match calls.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Fault::AnswerLost,
            1 => Fault::NotApplied(ErrorKind::Transient),
            _ => Fault::None,
        },
        _ => Fault::None,
    });
    let (shop, running, dead) = shop(store, 300).await;
    // They die again before the lost answer is missed.
    let report = dead.replay(&Replay::matching(DeadFilter::all())).await.unwrap();
    assert_eq!((report.matched, report.replayed, report.skipped, report.gone), (300, 300, 0, 0));
    until_drained(running.client()).await;
    assert!(support::dead(running.client()).await.iter().all(|j| j.claims == 2), "each was replayed once");
    shop.mended.store(true, Ordering::SeqCst);
    assert_eq!(dead.replay(&Replay::matching(DeadFilter::all())).await.unwrap().replayed, 300);
    until_drained(running.client()).await;
    assert_eq!(shop.done.lines().len(), 300);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_the_store_ends_says_how_far_it_came() {
    let calls = Arc::new(AtomicUsize::new(0));
    let store = Faulty::over(memory(), move |operation| {
        let down = operation == "replay" && (2..20).contains(&calls.fetch_add(1, Ordering::SeqCst));
        if down { Fault::NotApplied(ErrorKind::Transient) } else { Fault::None }
    });
    let (shop, running, dead) = shop(store, 300).await;
    shop.mended.store(true, Ordering::SeqCst);
    let error = dead.replay(&Replay::matching(DeadFilter::all())).await.unwrap_err();
    assert_eq!((error.report.replayed, error.report.left), (200, 100), "{error}");
    let refused = dead.replay(&Replay::matching(DeadFilter::all()).pace(0)).await.unwrap_err();
    assert_eq!(refused.source.kind(), ErrorKind::Rejected);
    let rest = || Replay::matching(DeadFilter::all()).resume(error.report.id, error.report.cutoff.unwrap());
    while dead.replay(&rest()).await.is_err() {}
    until_drained(running.client()).await;
    assert_eq!(shop.done.lines().len(), 300);
    running.shutdown().await.unwrap();
}
