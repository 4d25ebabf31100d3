//! What others do while jobs are replayed or discarded, and how long that is remembered.

use crate::support::{Fault, Faulty};
use backend_memory::MemoryBackend;
use job_conformance::{Harness, QUEUE, job, jobs, report};
use job_core::{
    Client, DeadFilter, DeadLetters, DeadReason, Discard, ErrorKind, Hold, JobId, Operate, OperationState,
    Replay, UniqueKey, Verdict,
};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A call of the memory store has answered as soon as it is made.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a call that waits"),
    }
}

struct Scene {
    h: Harness,
    store: Arc<dyn Operate>,
    held: Vec<Hold>,
}

impl Scene {
    /// Some jobs that are held, the first of which are dead.
    async fn make(count: usize, dead: usize) -> Self {
        let store: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
        let h = Harness::paused(Arc::clone(&store));
        h.enqueue(&jobs(count)).await;
        let held: Vec<_> =
            h.take(u32::try_from(count).expect("few")).jobs().await.into_iter().map(|j| j.hold).collect();
        for hold in &held[..dead] {
            bury(&h, *hold).await;
        }
        Self { h, store, held }
    }

    /// The dead letters of the store when something else is done just before, or in, the first call with this name.
    fn beside(&self, name: &'static str, what: impl Fn() -> Fault + Send + Sync + 'static) -> DeadLetters {
        let calls = AtomicUsize::new(0);
        let store = Faulty::over(Arc::clone(&self.store), move |call| {
            if call == name && calls.fetch_add(1, Ordering::SeqCst) == 0 { what() } else { Fault::None }
        });
        Client::new(store).dead_letters(QUEUE)
    }

    async fn dead(&self) -> Vec<JobId> {
        self.h.ids(job_core::JobState::Dead).await
    }
}

async fn bury(h: &Harness, hold: Hold) {
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("no such card") }).await;
}

#[tokio::test]
async fn rows_are_kept_for_ninety_days() {
    let Scene { h, store, .. } = Scene::make(4, 4).await;
    let letters = Client::new(store).dead_letters(QUEUE);
    let one = async |by: &str| {
        let id = h.ids(job_core::JobState::Dead).await[0];
        letters.replay(&Replay::jobs([id]).by(by)).await.expect("it is replayed");
        letters.operations(10).await.expect("rows are shown").len()
    };
    assert_eq!(one("ada").await, 1);
    h.pass(DAY * 89).await;
    assert_eq!(one("bob").await, 2);
    h.pass(DAY * 2).await;
    assert_eq!(letters.operations(10).await.expect("rows are shown").len(), 2, "nothing is new");
    assert_eq!(one("cy").await, 2, "that of ada is gone");
}

/// Even if no time has passed since the first look.
#[tokio::test]
async fn a_discard_leaves_what_dies_while_it_runs() {
    let scene = Scene::make(3, 2).await;
    let (store, late) = (Arc::clone(&scene.store), scene.held[2]);
    let letters = scene.beside("note_operation", move || {
        let verdict = Verdict::Dead { reason: DeadReason::Permanent, error: report("no such card") };
        let settlement = job_core::Settlement::new(late, verdict);
        at_once(store.settle(&QUEUE, &[settlement])).expect("settle works");
        Fault::None
    });
    let report = letters.discard(&Discard::matching(DeadFilter::all())).await.expect("they are discarded");
    assert_eq!((report.matched, report.discarded), (2, 2));
    assert_eq!(scene.dead().await, [late.job]);
}

#[tokio::test]
async fn the_row_of_a_discard_says_what_others_took() {
    let scene = Scene::make(3, 3).await;
    let (store, other) = (Arc::clone(&scene.store), scene.held[1].job);
    let letters = scene.beside("note_operation", move || {
        assert_eq!(at_once(store.replay(&[other])).expect("replay works"), [true]);
        Fault::None
    });
    let report =
        letters.discard(&Discard::matching(DeadFilter::all()).by("ada")).await.expect("they are discarded");
    assert_eq!((report.matched, report.discarded), (3, 2));
    let row = letters.operations(10).await.expect("rows are shown").remove(0);
    assert_eq!((row.state, row.matched, row.done, row.gone), (OperationState::Ended, 3, 2, 1));
}

/// Which had been read a while before the page was whole.
#[tokio::test]
async fn a_replay_looks_again_at_what_it_read_long_ago() {
    let scene = Scene::make(3, 3).await;
    let ids: Vec<_> = scene.held.iter().map(|hold| hold.job).collect();
    // The first look makes a call for each, and so does the second one.
    let gets = AtomicUsize::new(0);
    let (store, first) = (Arc::clone(&scene.store), ids.iter().copied().min().unwrap());
    let (slow, beside) = (CancellationToken::new(), CancellationToken::new());
    let (told, done) = (slow.clone(), beside.clone());
    let letters = Client::new(Faulty::over(Arc::clone(&store), move |call| {
        if call == "get" && gets.fetch_add(1, Ordering::SeqCst) == 4 {
            told.cancel();
            return Fault::Late(Duration::from_secs(5));
        }
        Fault::None
    }))
    .dead_letters(QUEUE);
    let others = async {
        slow.cancelled().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        store.replay(&[first]).await.expect("replay works");
        let again = scene.h.take(1).jobs().await.remove(0);
        assert_eq!(again.hold.job, first);
        bury(&scene.h, again.hold).await;
        done.cancel();
    };
    let replay = Replay::jobs(ids);
    let (report, ()) = tokio::join!(letters.replay(&replay), others);
    let report = report.expect("they are replayed");
    assert!(beside.is_cancelled());
    assert_eq!((report.matched, report.replayed, report.gone), (3, 2, 1));
    assert_eq!(scene.dead().await, [first], "it has died again since");
}

/// Of some of the others nothing is known: the store is away when it is asked why they stay dead.
#[tokio::test]
async fn a_replay_that_fails_counts_what_it_has_done() {
    let scene = Scene::make(0, 0).await;
    let mut new = jobs(4);
    let key = UniqueKey { scope: "s".into(), key: "k".into() };
    new[0].unique = Some(key.clone());
    scene.h.enqueue(&new).await;
    for job in scene.h.take(4).jobs().await {
        bury(&scene.h, job.hold).await;
    }
    let mut rival = job();
    rival.unique = Some(key);
    scene.h.enqueue_one(&rival).await;
    let refused = || Fault::NotApplied(ErrorKind::Permanent);
    let letters = scene.beside("get", refused);
    let error = letters.replay(&Replay::matching(DeadFilter::all())).await.expect_err("the store is away");
    assert_eq!((error.report.matched, error.report.replayed, error.report.left), (4, 3, 1));
    let row = letters.operations(10).await.expect("rows are shown").remove(0);
    assert_eq!((row.state, row.matched, row.done), (OperationState::Failed, 4, 3));
    assert_eq!(scene.dead().await, [new[0].id]);
}
