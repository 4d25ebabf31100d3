//! Rows about what was done to many jobs at once.

use crate::{Harness, QUEUE, jobs, report};
use job_core::{
    Client, DeadFilter, DeadReason, Discard, OperationId, OperationKind, OperationState, QueueName, Replay,
    Verdict,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const ELSEWHERE: QueueName = QueueName::from_static("conformance-2");

async fn note(h: &Harness, queue: &QueueName, id: OperationId, text: &str) {
    h.backend.note_operation(queue, id, text).await.expect("a note is taken");
}

async fn texts(h: &Harness, queue: &QueueName, limit: u32) -> Vec<String> {
    let rows = h.backend.operations(queue, limit).await.expect("rows are shown");
    rows.into_iter().map(|row| row.text).collect()
}

/// The first note makes a row, the next ones replace its text. When it began stays.
pub async fn a_row_is_made_once_and_replaced(h: &Harness) {
    let id = OperationId::new();
    assert!(texts(h, &QUEUE, 10).await.is_empty());
    note(h, &QUEUE, id, "first é").await;
    let first = h.backend.operations(&QUEUE, 10).await.expect("rows are shown").remove(0);
    assert_eq!((first.id, &*first.text), (id, "first é"));
    assert_eq!(first.began, first.updated);
    h.pass(h.unit()).await;
    note(h, &QUEUE, id, "then\nanother").await;
    note(h, &QUEUE, id, "then\nanother").await;
    let rows = h.backend.operations(&QUEUE, 10).await.expect("rows are shown");
    assert_eq!(rows.len(), 1, "a repeated note is none");
    assert_eq!((rows[0].id, &*rows[0].text, rows[0].began), (id, "then\nanother", first.began));
    assert!(rows[0].updated > first.updated);
}

/// Each queue has its own; the one that began last comes first, whatever was noted since.
pub async fn rows_are_those_of_a_queue_the_last_first(h: &Harness) {
    let ids: Vec<_> = (0..3).map(|_| OperationId::new()).collect();
    for (n, id) in ids.iter().enumerate() {
        note(h, &QUEUE, *id, &n.to_string()).await;
        h.pass(h.unit() / 10).await;
    }
    note(h, &QUEUE, ids[0], "0 again").await;
    note(h, &ELSEWHERE, OperationId::new(), "elsewhere").await;
    assert_eq!(texts(h, &QUEUE, 10).await, ["2", "1", "0 again"]);
    assert_eq!(texts(h, &QUEUE, 2).await, ["2", "1"]);
    assert!(texts(h, &QUEUE, 0).await.is_empty());
    assert_eq!(texts(h, &ELSEWHERE, 10).await, ["elsewhere"]);
}

/// The oldest go.
pub async fn no_more_rows_are_kept_than_a_thousand(h: &Harness) {
    let oldest = OperationId::new();
    note(h, &QUEUE, oldest, "oldest").await;
    h.pass(h.unit() / 10).await;
    for n in 0..1_000 {
        note(h, &QUEUE, OperationId::new(), &n.to_string()).await;
    }
    let rows = h.backend.operations(&QUEUE, 2_000).await.expect("rows are shown");
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().all(|row| row.id != oldest));
}

/// Who, what and how many: for a replay, one that is stopped, and a discard. What changes nothing leaves nothing.
pub async fn who_replays_and_discards_leaves_a_row(h: &Harness) {
    h.enqueue(&jobs(4)).await;
    for job in h.take(4).jobs().await {
        h.apply(job.hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("no such card") })
            .await;
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
