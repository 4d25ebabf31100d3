//! C5: every call may be repeated after an unknown outcome.

use crate::harness::is_not_applied;
use crate::{Harness, job, jobs};
use futures_util::future::join_all;
use job_core::{
    ErrorKind, IdempotencyKey, JobState, LeaseId, NewJob, Settled, Settlement, UniqueKey, Verdict,
};
use std::time::Duration;

fn idempotent(key: &str) -> NewJob {
    let mut new = job();
    let window = IdempotencyKey::DEFAULT_WINDOW;
    new.idempotency = Some(IdempotencyKey { scope: "kit".into(), key: key.into(), window });
    new
}

fn unique(key: &str) -> NewJob {
    let mut new = job();
    new.unique = Some(UniqueKey { scope: "kit".into(), key: key.into() });
    new
}

async fn complete_one(h: &Harness) {
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Complete).await;
}

/// A repeated enqueue makes no second job and answers the same.
pub async fn a_repeated_enqueue_makes_no_second_job(h: &Harness) {
    let mut batch = jobs(5);
    batch.push(idempotent("a"));
    batch.push(idempotent("a"));
    let first = h.enqueue(&batch).await;
    assert_eq!(h.enqueue(&batch).await, first);
    assert_eq!(h.stats().await.ready, 6);
}

/// A repeated enqueue revives neither running nor finished jobs.
pub async fn a_repeated_enqueue_revives_nothing(h: &Harness) {
    let batch = jobs(4);
    let first = h.enqueue(&batch).await;
    let held = h.take(3).jobs().await;
    h.apply(held[0].hold, Verdict::Complete).await;
    h.apply(held[1].hold, Verdict::Cancel).await;
    assert_eq!(h.enqueue(&batch).await, first);
    h.backend.cancel(batch[3].id).await.expect("cancel works");
    assert_eq!(h.enqueue(&batch).await, first);
    assert!(h.ids(JobState::Ready).await.is_empty(), "nothing came back");
    assert_eq!(h.ids(JobState::Running).await, [batch[2].id]);
}

/// A discarded job is not revived either.
pub async fn a_repeated_enqueue_revives_no_discarded_job(h: &Harness) {
    let mut new = job();
    new.max_attempts = 1;
    h.enqueue_one(&new).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Retry { after: h.unit(), error: crate::report("no") }).await;
    h.enqueue_one(&new).await;
    assert_eq!(h.record(new.id).await.state, JobState::Dead);
    assert_eq!(h.backend.discard(&[new.id]).await.expect("discard works"), [true]);
    h.enqueue_one(&new).await;
    assert_eq!(h.find(new.id).await, None);
    assert!(h.take(5).jobs().await.is_empty(), "no other job came in its place");
}

/// A repeated claim returns the same jobs, less what has been settled, and takes no others.
pub async fn a_repeated_claim_returns_the_same_jobs(h: &Harness) {
    h.enqueue(&jobs(5)).await;
    let claim = h.take(3);
    let first = claim.jobs().await;
    assert_eq!(first.len(), 3);
    assert_eq!(claim.jobs().await, first);
    h.apply(first[1].hold, Verdict::Complete).await;
    assert_eq!(claim.jobs().await, [first[0].clone(), first[2].clone()]);
    h.apply(first[0].hold, Verdict::Complete).await;
    h.apply(first[2].hold, Verdict::Complete).await;
    assert!(claim.jobs().await.is_empty(), "the lease has ended and is not used again");
    assert_eq!(h.stats().await.ready, 2, "no other job was taken");
}

/// The same for suspects under their own leases.
pub async fn a_repeated_claim_returns_the_same_suspects(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    h.crash(h.take(2)).await;
    let leases = [LeaseId::random(), LeaseId::random()];
    let claim = h.take(5).suspect_leases(&leases);
    let key = |j: &job_core::ClaimedJob| j.hold.job;
    let (mut first, mut second) = (claim.jobs().await, claim.jobs().await);
    first.sort_by_key(key);
    second.sort_by_key(key);
    assert_eq!((first.len(), first), (2, second));
}

/// A claim whose answer was lost and that nobody extends gives its jobs back.
pub async fn a_lost_claim_expires(h: &Harness) {
    let new = jobs(2);
    h.enqueue(&new).await;
    let lost = h.take(2).lease_for(h.units(2));
    lost.jobs().await;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    h.enqueue_one(&job()).await;
    assert!(lost.jobs().await.is_empty(), "its lease is over, and is not used for another job");
    assert_eq!(h.take(0).suspects(2).jobs().await.len(), 2);
}

/// Maintenance forgets nothing that a call may still be repeated for.
pub async fn maintenance_keeps_receipts(h: &Harness) {
    let new = [job(), unique("a"), idempotent("b")];
    let answers = h.enqueue(&new).await;
    let claim = h.take(3);
    let held = claim.jobs().await;
    let done: Vec<_> = held.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
    assert_eq!(h.settle_all(&done).await, [Settled::Applied; 3]);
    let after = job();
    h.enqueue_one(&after).await;
    h.maintain().await;
    h.pass(h.unit()).await;
    h.maintain().await;
    assert_eq!(h.settle_all(&done).await, [Settled::AlreadyApplied; 3]);
    assert_eq!(h.enqueue(&new).await, answers);
    assert!(claim.jobs().await.is_empty(), "the lease has ended and is not used again");
    assert_eq!(h.ids(JobState::Ready).await, [after.id], "nothing came back");
}

/// A repeated settle and claim does both once.
pub async fn a_repeated_settle_and_claim_does_both_once(h: &Harness) {
    h.enqueue(&jobs(4)).await;
    let held = h.take(2).jobs().await;
    let done: Vec<_> = held.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
    let next = h.take(1);
    let (settled, first) = next.settling(&done).await;
    assert_eq!((settled, first.len()), (vec![Settled::Applied; 2], 1));
    let (settled, second) = next.settling(&done).await;
    assert_eq!((settled, second), (vec![Settled::AlreadyApplied; 2], first));
    assert_eq!(h.stats().await.ready, 1);
}

/// An idempotency key stands for one job, also after it has completed.
pub async fn an_idempotency_key_outlives_its_job(h: &Harness) {
    let first = idempotent("a");
    h.enqueue_one(&first).await;
    let again = h.enqueue_one(&idempotent("a")).await;
    assert_eq!((again.id, again.deduplicated), (first.id, true));
    complete_one(h).await;
    let again = h.enqueue_one(&idempotent("a")).await;
    assert_eq!((again.id, again.deduplicated), (first.id, true));
    assert!(!h.enqueue_one(&idempotent("b")).await.deduplicated);
    assert_eq!(h.stats().await.ready, 1);
}

/// Keys in different scopes are different, and scope and key do not run together.
pub async fn keys_are_told_apart_by_scope(h: &Harness) {
    let with = |scope: &str, key: &str| {
        let mut new = job();
        let window = IdempotencyKey::DEFAULT_WINDOW;
        new.idempotency = Some(IdempotencyKey { scope: scope.into(), key: key.into(), window });
        new.unique = Some(UniqueKey { scope: scope.into(), key: key.into() });
        new
    };
    for (scope, key) in [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("a", "B:c"), ("a", "b:c ")] {
        assert!(!h.enqueue_one(&with(scope, key)).await.deduplicated, "{scope:?} {key:?}");
    }
    let got = h.take(1).jobs().await.remove(0);
    assert_eq!(got.idempotency_key.as_deref(), Some("a:b:c"), "given to the handler as scope:key");
}

/// A key is free again after its window.
pub async fn a_window_ends(h: &Harness) {
    let with = |window: Duration| {
        let mut new = idempotent("a");
        new.idempotency.as_mut().expect("has a key").window = window;
        new
    };
    let first = with(h.units(2));
    h.enqueue_one(&first).await;
    h.pass(h.units(3)).await;
    let second = with(h.units(200));
    assert_eq!(h.enqueue_one(&second).await.id, second.id);
    h.maintain().await;
    assert_eq!(h.enqueue_one(&with(h.unit())).await.id, second.id, "the new window counts");
    assert_eq!(h.enqueue_one(&first).await.id, first.id, "the first enqueue repeated answers as it did");
}

/// A unique key stands for a job while it is live, and not longer.
pub async fn a_unique_key_ends_with_its_job(h: &Harness) {
    for (n, verdict) in [
        Verdict::Complete,
        Verdict::Cancel,
        Verdict::Dead { reason: job_core::DeadReason::Permanent, error: crate::report("no") },
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key {n}");
        let first = unique(&key);
        h.enqueue_one(&first).await;
        assert_eq!(h.enqueue_one(&unique(&key)).await.id, first.id, "taken while it waits");
        let hold = h.take(1).jobs().await.remove(0).hold;
        assert!(h.enqueue_one(&unique(&key)).await.deduplicated, "taken while it runs");
        h.apply(hold, Verdict::Retry { after: h.unit(), error: crate::report("no") }).await;
        assert!(h.enqueue_one(&unique(&key)).await.deduplicated, "taken while it waits for a retry");
        h.pass(h.units(2)).await;
        h.promote(1).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        h.apply(hold, verdict.clone()).await;
        let next = unique(&key);
        assert_eq!(h.enqueue_one(&next).await.id, next.id, "free after {verdict:?}");
        h.backend.cancel(next.id).await.expect("cancel works");
        assert!(!h.enqueue_one(&unique(&key)).await.deduplicated, "free after a cancel");
        complete_one(h).await;
    }
}

/// The end of a job frees its unique key only if it is still its own.
pub async fn only_the_owner_frees_a_unique_key(h: &Harness) {
    let first = unique("a");
    h.enqueue_one(&first).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let dead = Verdict::Dead { reason: job_core::DeadReason::Permanent, error: crate::report("no") };
    h.apply(hold, dead).await;
    let second = unique("a");
    h.enqueue_one(&second).await;
    assert_eq!(h.backend.replay(&[first.id]).await.expect("replay works"), [false], "its key is taken");
    assert_eq!(h.record(first.id).await.state, JobState::Dead);
    assert_eq!(h.backend.discard(&[first.id]).await.expect("discard works"), [true]);
    assert_eq!(h.enqueue_one(&unique("a")).await.id, second.id, "the second job holds it still");
}

/// A request that another job answers, for its unique key, is answered by it again, also when that job has ended.
pub async fn a_deduplicated_request_is_remembered(h: &Harness) {
    let with = |idempotency: &str| {
        let mut new = idempotent(idempotency);
        new.unique = unique("u").unique;
        new
    };
    let first = with("a");
    h.enqueue_one(&first).await;
    for _ in 0..2 {
        let again = h.enqueue_one(&with("b")).await;
        assert_eq!((again.id, again.deduplicated), (first.id, true), "its unique key is taken");
    }
    complete_one(h).await;
    let again = h.enqueue_one(&with("b")).await;
    assert_eq!((again.id, again.deduplicated), (first.id, true), "the request has had its answer");
    assert!(!h.enqueue_one(&with("c")).await.deduplicated, "the unique key is free again");
}

/// Inside a batch the first of equal keys wins.
pub async fn the_first_of_equal_keys_in_a_batch_wins(h: &Harness) {
    let batch = [unique("a"), idempotent("a"), unique("b"), unique("a"), idempotent("a"), job(), unique("b")];
    let ids: Vec<_> = h.enqueue(&batch).await.iter().map(|e| (e.id, e.deduplicated)).collect();
    let id = |n: usize| batch[n].id;
    let expected = [
        (id(0), false),
        (id(1), false),
        (id(2), false),
        (id(0), true),
        (id(1), true),
        (id(5), false),
        (id(2), true),
    ];
    assert_eq!(ids, expected);
    assert_eq!(h.stats().await.ready, 4);
}

/// Batches with the same keys at once, in opposite orders: one job for each key, and everybody is told which.
pub async fn concurrent_batches_agree_on_keys(h: &Harness) {
    const KEYS: usize = 20;
    let batch = |reverse: bool| {
        let mut jobs: Vec<_> = (0..KEYS).map(|n| unique(&format!("{n:02}"))).collect();
        if reverse {
            jobs.reverse();
        }
        jobs
    };
    let batches: Vec<_> = (0..6).map(|n| batch(n % 2 == 1)).collect();
    let answers = join_all(batches.iter().map(|b| async {
        h.until("an enqueue that no other one disturbs", || async {
            match h.backend.enqueue(b).await {
                Ok(answers) => Some(answers),
                // A deadlock that the store broke is to be repeated.
                Err(e) => {
                    assert!(e.is_transient(), "{e}");
                    None
                }
            }
        })
        .await
    }))
    .await;
    assert_eq!(h.stats().await.ready, KEYS as u64);
    for n in 0..KEYS {
        let told = |b: usize| answers[b][if b % 2 == 1 { KEYS - 1 - n } else { n }].id;
        assert!((1..6).all(|b| told(b) == told(0)), "key {n}: everybody names the same job");
    }
}

/// A key with a NUL byte works, or is refused as a whole; it is never cut.
pub async fn a_nul_in_a_key_is_kept_or_refused(h: &Harness) {
    let nul = idempotent("a\0b");
    match h.backend.enqueue(std::slice::from_ref(&nul)).await {
        Ok(_) => {
            assert_eq!(h.enqueue_one(&idempotent("a\0b")).await.id, nul.id);
            assert!(!h.enqueue_one(&idempotent("a\0c")).await.deduplicated, "the key was cut at the NUL");
        }
        Err(e) => {
            assert!(e.kind() == ErrorKind::Rejected && is_not_applied(&e), "{e}");
            assert_eq!(h.find(nul.id).await, None);
        }
    }
    assert!(!h.enqueue_one(&idempotent("a")).await.deduplicated);
    assert!(!h.enqueue_one(&idempotent("ab")).await.deduplicated);
}
