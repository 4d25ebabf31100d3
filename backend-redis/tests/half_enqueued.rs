//! Whoever enqueues a batch dies when its jobs are stored, and before the batch hears of the one that waits for it.

mod support;

use job_conformance::{Harness, KIND, QUEUE, job};
use job_core::faults::{Faults, Injected, install};
use job_core::{BatchEvent, BatchId, Kind, NewJob, Verdict, When};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{connect, server};

const NEXT: Kind = Kind::from_static("next");

/// Fails calls for batches while it is set.
struct Unheard(AtomicBool);

impl Faults for Unheard {
    fn reached(&self, _scope: &str, point: &str) -> Injected {
        let fails = point == "redis.batch.before_send" && self.0.load(Ordering::SeqCst);
        if fails { Injected::Fail } else { Injected::Nothing }
    }
}

#[tokio::test]
async fn a_batch_that_was_stored_ends_although_nobody_heard_so() {
    let faults = Arc::new(Unheard(AtomicBool::new(true)));
    install(faults.clone());
    let h = Harness::real_time(connect(&server().fresh_url()).await);
    let id = BatchId::new();
    let mut member = job();
    member.headers.insert(NewJob::BATCH_HEADER.to_owned(), id.to_string());
    let mut next = NewJob::new(NEXT, QUEUE, "{}");
    next.when = When::Batch { batch: id, members: 1, event: BatchEvent::Complete };
    h.backend.enqueue(&[next.clone(), member]).await.expect("they are stored");
    faults.0.store(false, Ordering::SeqCst);
    assert!(h.backend.batch(id).await.expect("batch works").is_none(), "it has not heard of it");
    let held = h.take(9).kinds(&[KIND]).jobs().await;
    assert_eq!(held.len(), 1, "it was stored");
    h.apply(held[0].hold, Verdict::Complete).await;
    h.maintain().await;
    let held = h.take(9).kinds(&[NEXT]).jobs().await;
    assert_eq!(held.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [next.id]);
}
