//! Pauses of one kind.

use crate::{Harness, KIND, LONG, OTHER_KIND, QUEUE, job, jobs};
use job_core::{JobId, JobState, LeaseStatus, Settled, Settlement, Verdict};
use std::time::Duration;

fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_unstable();
    ids
}

/// A paused kind gives no job away, other kinds do; it takes jobs in, lets running ones go on, and loses nothing.
pub async fn a_paused_kind_gives_no_job_away(h: &Harness) {
    let new = jobs(3);
    let mut other = jobs(3);
    other.iter_mut().for_each(|j| j.kind = OTHER_KIND);
    h.enqueue(&new).await;
    let claim = h.take(1);
    let held = claim.jobs().await;
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works");
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works twice");
    assert_eq!((h.stats().await.paused_kinds, h.stats().await.paused), (vec![KIND], false));
    assert!(h.take(5).suspects(2).solo().jobs().await.is_empty());
    assert_eq!(claim.jobs().await, held, "what is claimed stays claimed");
    h.enqueue(&other).await;
    let got = h.take(1).jobs().await;
    assert_eq!(got.iter().map(|j| &j.kind).collect::<Vec<_>>(), [&OTHER_KIND]);
    let extended = h.backend.extend(&QUEUE, &[held[0].hold.lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Held]);
    let done = [Settlement::new(held[0].hold, Verdict::Release)];
    let (settled, got) = h.take(9).settling(&done).await;
    assert_eq!((settled, got.len()), (vec![Settled::Applied], 2), "the others of the other kind");
    assert!(got.iter().all(|j| j.kind == OTHER_KIND));
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works twice");
    let got: Vec<_> = h.take(9).jobs().await.iter().map(|j| j.hold.job).collect();
    let wanted: Vec<_> = new.iter().map(|j| j.id).collect();
    assert_eq!((sorted(got), h.stats().await.paused_kinds), (sorted(wanted), vec![]));
}

/// Jobs near a crash wait with their kind. Each kind is paused for itself, also one that the queue has not seen yet.
pub async fn suspects_of_a_paused_kind_wait(h: &Harness) {
    h.backend.pause_kind(&QUEUE, &OTHER_KIND).await.expect("pause works");
    h.enqueue(&jobs(2)).await;
    assert_eq!(h.crash(h.take(2)).await, 2);
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works");
    let mut both = vec![KIND, OTHER_KIND];
    both.sort_unstable();
    assert_eq!(h.stats().await.paused_kinds, both);
    assert!(h.take(5).suspects(2).solo().jobs().await.is_empty());
    let mut other = job();
    other.kind = OTHER_KIND;
    h.enqueue_one(&other).await;
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    let got = h.take(5).suspects(2).solo().jobs().await;
    assert_eq!((got.len(), got.iter().all(|j| j.kind == KIND)), (2, true), "{got:?}");
    h.backend.resume_kind(&QUEUE, &OTHER_KIND).await.expect("resume works");
    assert_eq!(h.take(5).jobs().await.len(), 1);
}

/// Resuming a kind wakes those who wait for work, where the store can.
pub async fn a_wait_ends_when_a_kind_is_resumed(h: &Harness) {
    if !h.wakes() {
        return;
    }
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works");
    h.enqueue_one(&job()).await;
    // A wake-up that is left over ends a wait at once, so the wait starts until one lasts.
    let queue = QUEUE;
    let mut waiting = h.backend.wait(&queue);
    while tokio::time::timeout(h.units(2), &mut waiting).await.is_ok() {
        waiting = h.backend.wait(&queue);
    }
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    let woken = tokio::time::timeout(LONG, waiting).await;
    woken.expect("a resume wakes those who wait").expect("wait works");
}

/// A kind, or a queue, is drained when nothing of it runs any more. It is paused from the start, and stays so.
pub async fn what_is_drained_runs_no_more(h: &Harness) {
    let mut other = job();
    other.kind = OTHER_KIND;
    h.enqueue(&[job(), other]).await;
    let held = h.take(2).jobs().await;
    h.enqueue_one(&job()).await;
    let (queue, kind) = (QUEUE, KIND);
    let drain = |kind, within| h.backend.drain(&queue, kind, within);
    assert!(!drain(Some(&kind), h.unit()).await.expect("drain works"), "one of them runs");
    assert!(h.take(5).jobs().await.is_empty(), "no more of them starts");
    let hold = |kind| held.iter().find(|j| j.kind == kind).expect("both are held").hold;
    let done = async |kind| {
        h.pass(h.unit()).await;
        h.apply(hold(kind), Verdict::Complete).await;
    };
    let (drained, ()) = tokio::join!(drain(Some(&kind), LONG), done(KIND));
    assert!(drained.expect("drain works"), "the other kind does not count");
    assert_eq!(h.record(hold(OTHER_KIND).job).await.state, JobState::Running);
    assert!(!drain(None, Duration::ZERO).await.expect("drain works"), "the other kind runs");
    let (drained, ()) = tokio::join!(drain(None, LONG), done(OTHER_KIND));
    assert!(drained.expect("drain works"));
    assert!(h.stats().await.paused, "and stays paused");
    h.backend.resume(&QUEUE).await.expect("resume works");
    assert!(h.take(5).jobs().await.is_empty(), "the kind is paused for itself");
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    assert_eq!(h.take(5).jobs().await.len(), 1);
}
