//! C1: what `Ok` from an enqueue means.

use crate::{Harness, KIND, QUEUE, job, jobs};
use job_core::{JobState, NewJob, Priority};

/// The store says what it is and takes at least one job at a time.
pub async fn says_what_it_is(h: &Harness) {
    let info = h.backend.info();
    assert!(!info.name.is_empty(), "a backend has a name");
    assert!(info.batch_max >= 100, "batches of 100 and more are taken, not {}", info.batch_max);
}

/// What was acknowledged is there, with everything it was enqueued with.
pub async fn an_acknowledged_job_is_there(h: &Harness) {
    let mut new = job();
    new.priority = Priority::HIGH;
    new.max_attempts = 7;
    new.payload = "[1]".into();
    let answer = h.enqueue_one(&new).await;
    assert_eq!((answer.id, answer.deduplicated), (new.id, false));
    let record = h.record(new.id).await;
    assert_eq!((record.state, record.attempt, record.claims, record.crashes), (JobState::Ready, 0, 0, 0));
    assert_eq!((record.kind, record.queue, record.priority), (KIND, QUEUE, Priority::HIGH));
    assert_eq!((record.max_attempts, &record.payload[..]), (7, &b"[1]"[..]));
    assert_eq!((record.run_at, record.died_at, record.dead_reason), (None, None, None));
    assert!(record.errors.is_empty(), "nothing has failed yet");
}

/// Every job of the largest batch arrives, once.
pub async fn the_largest_batch_arrives(h: &Harness) {
    let batch = jobs(h.backend.info().batch_max.min(2_000));
    h.enqueue(&batch).await;
    assert_eq!(h.stats().await.ready, batch.len() as u64);
    let mut got: Vec<_> = Vec::new();
    while got.len() < batch.len() {
        let part = h.take(1_000).jobs().await;
        assert!(!part.is_empty(), "{} of {} jobs arrived", got.len(), batch.len());
        got.extend(part.iter().map(|j| j.hold.job));
    }
    assert_eq!(got, batch.iter().map(|j| j.id).collect::<Vec<_>>());
}

/// An enqueue of nothing is answered with nothing.
pub async fn an_empty_batch_is_fine(h: &Harness) {
    let none: [NewJob; 0] = [];
    assert!(h.enqueue(&none).await.is_empty());
    assert!(h.settle_all(&[]).await.is_empty());
    assert!(h.take(10).jobs().await.is_empty());
}
