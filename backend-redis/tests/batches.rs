//! Batches whose word comes twice.

mod support;

use job_conformance::{Harness, KIND, LONG, QUEUE, job, report};
use job_core::{BatchEvent, BatchId, NewJob, Verdict, When};
use support::{connect, server};

/// Two processes hear at the same moment that a batch is over, and both tell the job that waits for it. By the time of the second
/// one that job has run, and waits for its next attempt.
#[tokio::test]
async fn a_job_that_was_told_twice_keeps_its_backoff() {
    let url = server().fresh_url();
    let prefix = url.rsplit_once("prefix=").expect("a fresh URL has a prefix").1;
    let h = Harness::real_time(connect(&url).await);
    let id = BatchId::new();
    let mut member = job();
    member.headers.insert(NewJob::BATCH_HEADER.to_owned(), id.to_string());
    let mut next = NewJob::new(KIND, QUEUE, "{}");
    next.when = When::Batch { batch: id, members: 1, event: BatchEvent::Complete };
    let next_id = next.id;
    let both = [next, member];
    h.enqueue(&both).await;
    let held = h.take(9).jobs().await;
    h.apply(held[0].hold, Verdict::Complete).await;
    h.maintain().await;
    let held = h.take(9).jobs().await;
    assert_eq!(held.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [next_id]);
    h.apply(held[0].hold, Verdict::Retry { after: LONG, error: report("e") }).await;
    // As the second process knows it, which has looked before the first had told.
    let batch = format!("{{{prefix}:batch:{}}}q", id.as_uuid().simple());
    assert_eq!(server().cli(&["HDEL", &batch, "told_complete"]), "1");
    h.enqueue(&both).await;
    assert!(h.take(9).jobs().await.is_empty(), "it waits for its next attempt");
    assert_eq!(h.stats().await.retrying, 1);
}
