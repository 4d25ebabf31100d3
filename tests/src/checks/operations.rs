//! Rows about what was done to many jobs at once.

use crate::{Harness, QUEUE, jobs, report};
use job_core::{
    Client, DeadFilter, DeadReason, Discard, Hold, OperationId, OperationKind, OperationNote, OperationState,
    QueueName, Replay, ReplayId, Settlement, Verdict,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const ELSEWHERE: QueueName = QueueName::from_static("conformance-2");

/// Longer than any check takes.
const FOR_LONG: Duration = Duration::from_secs(60 * 60);

async fn note(h: &Harness, queue: &QueueName, id: OperationId, number: u64, text: &str) {
    note_for(h, queue, id, number, text, FOR_LONG).await;
}

async fn note_for(h: &Harness, queue: &QueueName, id: OperationId, number: u64, text: &str, kept: Duration) {
    let note = OperationNote { id, number, kept, text: text.to_owned() };
    h.backend.note_operation(queue, &note).await.expect("a note is taken");
}

async fn texts(h: &Harness, queue: &QueueName, limit: u32) -> Vec<String> {
    let rows = h.backend.operations(queue, limit).await.expect("rows are shown");
    rows.into_iter().map(|row| row.text).collect()
}

/// The first note makes a row, the next ones replace its text. When it began stays.
pub async fn a_row_is_made_once_and_replaced(h: &Harness) {
    let id = OperationId::new();
    assert!(texts(h, &QUEUE, 10).await.is_empty());
    note(h, &QUEUE, id, 1, "first é").await;
    let first = h.backend.operations(&QUEUE, 10).await.expect("rows are shown").remove(0);
    assert_eq!((first.id, first.number, &*first.text), (id, 1, "first é"));
    assert_eq!(first.began, first.updated);
    h.pass(h.unit()).await;
    note(h, &QUEUE, id, 2, "then\nanother").await;
    note(h, &QUEUE, id, 2, "then\nanother").await;
    let rows = h.backend.operations(&QUEUE, 10).await.expect("rows are shown");
    assert_eq!(rows.len(), 1, "a repeated note is none");
    assert_eq!((rows[0].id, &*rows[0].text, rows[0].began), (id, "then\nanother", first.began));
    assert_eq!(rows[0].number, 2);
    assert!(rows[0].updated > first.updated);
}

/// A note that comes after a newer one, or again, changes nothing. The numbers of other rows are their own.
pub async fn a_late_note_is_ignored(h: &Harness) {
    let (id, other) = (OperationId::new(), OperationId::new());
    note(h, &QUEUE, id, 7, "seven").await;
    note(h, &QUEUE, id, 10, "ten").await;
    let before = h.backend.operations(&QUEUE, 10).await.expect("rows are shown");
    h.pass(h.unit()).await;
    for late in [9, 1, 0, 10] {
        note(h, &QUEUE, id, late, "late").await;
        assert_eq!(h.backend.operations(&QUEUE, 10).await.expect("rows are shown"), before, "{late}");
    }
    note(h, &QUEUE, id, 11, "eleven").await;
    note(h, &ELSEWHERE, id, 1, "elsewhere").await;
    note(h, &QUEUE, other, 1, "one").await;
    assert_eq!(texts(h, &QUEUE, 10).await, ["one", "eleven"]);
    assert_eq!(texts(h, &ELSEWHERE, 10).await, ["elsewhere"]);
}

/// Whoever writes first: the newest stands in the end.
pub async fn notes_at_once_leave_the_newest(h: &Harness) {
    let ids: Vec<_> = (0..10).map(|_| OperationId::new()).collect();
    let all = ids.clone();
    h.on_threads(4, move |backend, thread| {
        let ids = all.clone();
        async move {
            for (n, id) in ids.into_iter().enumerate() {
                let number = (n as u64 + thread as u64) % 4 + 1;
                let note = OperationNote { id, number, kept: FOR_LONG, text: number.to_string() };
                backend.note_operation(&QUEUE, &note).await.expect("a note is taken");
            }
        }
    })
    .await;
    assert_eq!(texts(h, &QUEUE, 20).await, ["4"; 10]);
}

/// Each queue has its own; the one that began last comes first, whatever was noted since.
pub async fn rows_are_those_of_a_queue_the_last_first(h: &Harness) {
    let ids: Vec<_> = (0..3).map(|_| OperationId::new()).collect();
    for (n, id) in ids.iter().enumerate() {
        note(h, &QUEUE, *id, 1, &n.to_string()).await;
        h.pass(h.unit() / 10).await;
    }
    note(h, &QUEUE, ids[0], 2, "0 again").await;
    note(h, &ELSEWHERE, OperationId::new(), 1, "elsewhere").await;
    assert_eq!(texts(h, &QUEUE, 10).await, ["2", "1", "0 again"]);
    assert_eq!(texts(h, &QUEUE, 2).await, ["2", "1"]);
    assert!(texts(h, &QUEUE, 0).await.is_empty());
    assert_eq!(texts(h, &ELSEWHERE, 10).await, ["elsewhere"]);
}

/// The oldest go.
pub async fn no_more_rows_are_kept_than_a_thousand(h: &Harness) {
    let oldest = OperationId::new();
    note(h, &QUEUE, oldest, 1, "oldest").await;
    h.pass(h.unit() / 10).await;
    for n in 0..1_000 {
        note(h, &QUEUE, OperationId::new(), 1, &n.to_string()).await;
    }
    let rows = h.backend.operations(&QUEUE, 2_000).await.expect("rows are shown");
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().all(|row| row.id != oldest));
}

/// By when they began, whatever was noted since, and when a row is made: no other note removes anything, nor does one elsewhere.
pub async fn old_rows_go_when_one_is_made(h: &Harness) {
    let (old, young) = (OperationId::new(), OperationId::new());
    note(h, &QUEUE, old, 1, "old").await;
    note(h, &QUEUE, OperationId::new(), 1, "old too").await;
    h.pass(h.units(20)).await;
    note(h, &QUEUE, young, 1, "young").await;
    let began = Instant::now();
    // Longer ago than the young one began, however slow the store is, and not as long ago as the old ones did.
    let kept = || began.elapsed() + h.units(15);
    note_for(h, &QUEUE, old, 2, "old again", kept()).await;
    note_for(h, &QUEUE, young, 2, "young again", kept()).await;
    note_for(h, &ELSEWHERE, OperationId::new(), 1, "elsewhere", kept()).await;
    assert_eq!(texts(h, &QUEUE, 10).await, ["young again", "old too", "old again"]);
    note_for(h, &QUEUE, OperationId::new(), 1, "for ever", Duration::MAX).await;
    assert_eq!(texts(h, &QUEUE, 10).await.len(), 4);
    note_for(h, &QUEUE, OperationId::new(), 1, "last", kept()).await;
    assert_eq!(texts(h, &QUEUE, 10).await, ["last", "for ever", "young again"]);
}

async fn bury(h: &Harness, hold: Hold) {
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("no such card") }).await;
}

/// Who, what and how many: for a replay, one that is stopped, and a discard. What changes nothing leaves nothing.
pub async fn who_replays_and_discards_leaves_a_row(h: &Harness) {
    h.enqueue(&jobs(4)).await;
    for job in h.take(4).jobs().await {
        bury(h, job.hold).await;
    }
    let dead = Client::new(Arc::clone(&h.backend)).dead_letters(QUEUE);
    let all = || DeadFilter::all().error_contains("card");
    dead.replay(&Replay::matching(all()).dry_run().by("eve")).await.expect("it is tried");
    dead.discard(&Discard::matching(all()).dry_run().by("eve")).await.expect("it is tried");
    assert!(dead.operations(10).await.expect("rows are shown").is_empty());
    let ids: Vec<_> = h.ids(job_core::JobState::Dead).await;
    let one = dead.replay(&Replay::jobs([ids[0]]).by("ada")).await.expect("it is replayed");
    let stop = CancellationToken::new();
    stop.cancel();
    h.pass(h.unit() / 10).await;
    dead.replay(&Replay::matching(all()).stop(stop).by("bob")).await.expect("it is stopped");
    h.pass(h.unit() / 10).await;
    dead.discard(&Discard::matching(all()).by("cy")).await.expect("they are discarded");
    dead.replay(&Replay::matching(all()).by("dee")).await.expect("there is nothing to replay");
    dead.discard(&Discard::matching(all()).by("dee")).await.expect("there is nothing to discard");
    let rows = dead.operations(10).await.expect("rows are shown");
    let seen: Vec<_> = rows.iter().map(|r| (r.kind, &*r.by, r.state, r.matched, r.done)).collect();
    assert_eq!(
        seen,
        [
            (OperationKind::Discard, "cy", OperationState::Ended, 3, 3),
            (OperationKind::Replay, "bob", OperationState::Stopped, 3, 0),
            (OperationKind::Replay, "ada", OperationState::Ended, 1, 1),
        ]
    );
    assert_eq!(rows[0].what, "error contains \"card\"");
    assert_eq!((rows[2].replay, &*rows[2].what), (Some(one.id), &*ids[0].to_string()));
}

/// Whoever goes on with a replay has a row of its own; that of the first says what became of the first.
pub async fn a_resumed_replay_has_another_row(h: &Harness) {
    h.enqueue(&jobs(3)).await;
    for job in h.take(3).jobs().await {
        bury(h, job.hold).await;
    }
    let dead = Client::new(Arc::clone(&h.backend)).dead_letters(QUEUE);
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let first = Replay::matching(DeadFilter::all()).pace(1).stop(stop).by("ada");
    let first = first.on_progress(move |so_far| {
        if so_far.replayed == 1 {
            stopper.cancel();
        }
    });
    let stopped = dead.replay(&first).await.expect("it is stopped");
    assert_eq!((stopped.replayed, stopped.left, stopped.stopped), (1, 2, true));
    h.pass(h.unit() / 10).await;
    let cutoff = stopped.cutoff.expect("there were some");
    let rest = Replay::matching(DeadFilter::all()).resume(stopped.id, cutoff).by("bob");
    assert_eq!(dead.replay(&rest).await.expect("it is resumed").replayed, 2);
    let rows = dead.operations(10).await.expect("rows are shown");
    let seen: Vec<_> = rows.iter().map(|r| (r.replay, &*r.by, r.state, r.matched, r.done)).collect();
    let id = Some(stopped.id);
    assert_eq!(seen, [(id, "bob", OperationState::Ended, 2, 2), (id, "ada", OperationState::Stopped, 3, 1)]);
}

/// A job that is given twice is one job.
pub async fn a_job_named_twice_counts_once(h: &Harness) {
    h.enqueue(&jobs(3)).await;
    for job in h.take(3).jobs().await {
        bury(h, job.hold).await;
    }
    let dead = Client::new(Arc::clone(&h.backend)).dead_letters(QUEUE);
    let ids = h.ids(job_core::JobState::Dead).await;
    let one = dead.replay(&Replay::jobs([ids[0], ids[0]])).await.expect("it is replayed");
    assert_eq!((one.matched, one.replayed, one.gone), (1, 1, 0));
    let two = dead.discard(&Discard::jobs([ids[1], ids[2], ids[1]])).await.expect("they are discarded");
    assert_eq!((two.matched, two.discarded, two.first.len()), (2, 2, 2));
    let rows = dead.operations(10).await.expect("rows are shown");
    assert_eq!((rows[0].matched, rows[0].done, rows[0].gone), (2, 2, 0));
}

/// A death from before the cutoff that is seen only after the first look takes nobody's place: all that were counted are replayed, and
/// so is that job.
pub async fn a_replay_passes_over_nobody_who_was_counted(h: &Harness) {
    h.enqueue(&jobs(401)).await;
    let mut held: Vec<_> = h.take(401).jobs().await.into_iter().map(|job| job.hold).collect();
    assert_eq!(held.len(), 401);
    // In the order of lists it stands among those that are read last.
    let late = held.remove(300);
    for part in held.chunks(100) {
        let error = || report("no such card");
        let verdict = || Verdict::Dead { reason: DeadReason::Permanent, error: error() };
        let all: Vec<_> = part.iter().map(|hold| Settlement::new(*hold, verdict())).collect();
        h.backend.settle(&QUEUE, &all).await.expect("settle works");
    }
    let dead = Client::new(Arc::clone(&h.backend)).dead_letters(QUEUE);
    let (counted, now) = oneshot::channel();
    let counted = std::sync::Mutex::new(Some(counted));
    // What a store shows late has died before a cutoff in the past; one ahead allows the same here.
    let ahead = jiff::Timestamp::now() + Duration::from_secs(1_000_000_000);
    let replay = Replay::matching(DeadFilter::all()).resume(ReplayId::new(), ahead).pace(400);
    let replay = replay.on_progress(move |_| {
        if let Some(counted) = counted.lock().expect("no panic").take() {
            let _ = counted.send(());
        }
    });
    let dies = async {
        now.await.expect("it counts");
        bury(h, late).await;
    };
    let (report, ()) = tokio::join!(dead.replay(&replay), dies);
    let report = report.expect("they are replayed");
    assert_eq!((report.matched, report.replayed, report.left, report.gone), (401, 401, 0, 0));
    assert_eq!(h.stats().await.dead, 0);
}
