//! C3: verdicts and extensions carry their lease.

use crate::{Harness, LONG, QUEUE, job, jobs, report};
use job_core::{DeadReason, JobState, LeaseId, LeaseStatus, MaintainRequest, Settled, Settlement, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn verdicts(h: &Harness) -> Vec<Verdict> {
    vec![
        Verdict::Complete,
        Verdict::Retry { after: h.unit(), error: report("again") },
        Verdict::Snooze { delay: h.unit() },
        Verdict::Release,
        Verdict::Cancel,
        Verdict::Dead { reason: DeadReason::Permanent, error: report("never") },
    ]
}

/// Every verdict repeated answers `AlreadyApplied`, whatever has become of the job.
pub async fn a_repeated_verdict_is_already_applied(h: &Harness) {
    for verdict in verdicts(h) {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        h.apply(hold, verdict.clone()).await;
        let before = h.find(new.id).await;
        assert_eq!(h.settle(hold, verdict.clone()).await, Settled::AlreadyApplied, "{verdict:?}");
        // Another verdict under the same lease comes too late as well.
        assert_eq!(h.settle(hold, Verdict::Complete).await, Settled::AlreadyApplied, "{verdict:?}");
        assert_eq!(h.find(new.id).await, before, "a repeated {verdict:?} changes nothing");
        h.take(1).jobs().await;
    }
}

/// The old lease of a job that another one holds now changes nothing.
pub async fn a_verdict_of_an_earlier_lease_changes_nothing(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let old = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    let now = h.take(0).suspects(1).jobs().await.remove(0).hold;
    for verdict in verdicts(h) {
        assert_eq!(h.settle(old, verdict.clone()).await, Settled::Stale, "{verdict:?}");
    }
    assert_eq!(h.record(new.id).await.state, JobState::Running, "the new holder is not disturbed");
    h.apply(now, Verdict::Complete).await;
}

/// After a reap, and before anybody claims the job again, the old lease is stale as well.
pub async fn a_reaped_lease_is_stale(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let old = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    assert_eq!(h.settle(old, Verdict::Complete).await, Settled::Stale);
    let extended = h.backend.extend(&QUEUE, &[old.lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Stale]);
    assert_eq!(h.record(new.id).await.state, JobState::Ready, "nothing was changed");
}

/// An expired lease is valid until somebody ends it.
pub async fn an_expired_lease_is_valid_until_reaped(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    let held = h.take(2).lease_for(h.units(2)).jobs().await;
    h.pass(h.units(3)).await;
    h.apply(held[0].hold, Verdict::Complete).await;
    let extended = h.backend.extend(&QUEUE, &[held[0].hold.lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Held]);
    assert_eq!(h.maintain().await.leases_reaped, 0, "it was extended in time");
    h.apply(held[1].hold, Verdict::Complete).await;
}

/// A verdict that names the wrong lease changes nothing.
pub async fn a_forged_hold_is_stale(h: &Harness) {
    let new = jobs(2);
    h.enqueue(&new).await;
    let mine = h.take(1).jobs().await.remove(0).hold;
    let other = h.take(1).jobs().await.remove(0).hold;
    let mut invented = mine;
    invented.lease = LeaseId::random();
    assert_eq!(h.settle(invented, Verdict::Complete).await, Settled::Stale, "a lease that never was");
    let mut foreign = mine;
    foreign.lease = other.lease;
    assert_eq!(h.settle(foreign, Verdict::Complete).await, Settled::Stale, "the lease of another job");
    let mut crossed = other;
    crossed.job = mine.job;
    assert_eq!(h.settle(crossed, Verdict::Complete).await, Settled::Stale, "another job under this lease");
    for id in [new[0].id, new[1].id] {
        assert_eq!(h.record(id).await.state, JobState::Running);
    }
    h.apply(mine, Verdict::Complete).await;
    h.apply(other, Verdict::Complete).await;
}

/// An extension keeps a lease alive past its first end.
pub async fn an_extended_lease_lasts(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let hold = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    let extended = h.backend.extend(&QUEUE, &[hold.lease], LONG).await.expect("extend works");
    assert_eq!((extended.leases, extended.cancel), (vec![LeaseStatus::Held], vec![]));
    h.pass(h.units(4)).await;
    assert_eq!(h.maintain().await.leases_reaped, 0);
    assert_eq!(h.record(new.id).await.state, JobState::Running);
}

/// An extension never shortens a lease.
pub async fn an_extension_never_shortens(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let extended = h.backend.extend(&QUEUE, &[hold.lease], h.unit()).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Held]);
    h.pass(h.units(3)).await;
    assert_eq!(h.maintain().await.leases_reaped, 0, "it had been granted for longer");
    h.apply(hold, Verdict::Complete).await;
}

/// A lease without an unsettled job has ended; one that never was is stale too.
pub async fn a_lease_ends_with_its_last_job(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    let held = h.take(2).jobs().await;
    let lease = held[0].hold.lease;
    let ask = [LeaseId::random(), lease];
    h.apply(held[0].hold, Verdict::Complete).await;
    let extended = h.backend.extend(&QUEUE, &ask, LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Stale, LeaseStatus::Held]);
    h.apply(held[1].hold, Verdict::Complete).await;
    let extended = h.backend.extend(&QUEUE, &ask, LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Stale, LeaseStatus::Stale]);
}

/// An extension of expired leases while others end them: each lease is extended, or has ended, never both.
pub async fn an_extension_and_a_reap_never_both_win(h: &Harness) {
    const LEASES: usize = 100;
    for _ in 0..3 {
        h.enqueue(&jobs(LEASES)).await;
        let mut held = Vec::new();
        for _ in 0..LEASES {
            held.extend(h.take(1).lease_for(h.units(1)).jobs().await.iter().map(|j| j.hold));
        }
        h.pass(h.units(2)).await;
        let leases: Vec<_> = held.iter().map(|hold| hold.lease).collect();
        let extended = Arc::new(AtomicBool::new(false));
        let answers = h
            .on_threads(4, move |backend, n| {
                let (leases, extended) = (leases.clone(), Arc::clone(&extended));
                async move {
                    // A few at a time, so that the extension comes in between.
                    let few = MaintainRequest { limit: 5, ..MaintainRequest::default() };
                    while n > 0 && !extended.load(Ordering::SeqCst) {
                        backend.maintain(&QUEUE, &few).await.expect("maintain works");
                    }
                    if n > 0 {
                        return Vec::new();
                    }
                    backend.maintain(&QUEUE, &few).await.expect("maintain works");
                    let answer = backend.extend(&QUEUE, &leases, LONG).await.expect("extend works");
                    extended.store(true, Ordering::SeqCst);
                    answer.leases
                }
            })
            .await
            .concat();
        for (hold, answer) in held.iter().zip(answers) {
            let expected = if answer == LeaseStatus::Held { Settled::Applied } else { Settled::Stale };
            assert_eq!(h.settle(*hold, Verdict::Complete).await, expected, "the extension said {answer:?}");
        }
        for back in h.take(0).suspects(LEASES).jobs().await {
            h.apply(back.hold, Verdict::Complete).await;
        }
    }
}

/// Follow-up jobs come with the verdict, and only with it.
pub async fn follow_ups_come_only_with_the_verdict(h: &Harness) {
    let (first, follower, never) = (job(), job(), job());
    h.enqueue_one(&first).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let with = |hold, follow: &job_core::NewJob| Settlement {
        follow_ups: vec![follow.clone()],
        ..Settlement::new(hold, Verdict::Complete)
    };
    let mut forged = hold;
    forged.lease = LeaseId::random();
    assert_eq!(h.settle_all(&[with(forged, &never)]).await, [Settled::Stale]);
    assert_eq!(h.settle_all(&[with(hold, &follower)]).await, [Settled::Applied]);
    assert_eq!(h.settle_all(&[with(hold, &never)]).await, [Settled::AlreadyApplied]);
    assert_eq!(h.find(never.id).await, None);
    assert_eq!(h.ids(JobState::Ready).await, [follower.id]);
}

/// Eight verdicts under one hold at once: one is applied, with its own follow-up and no other.
pub async fn one_of_many_verdicts_is_applied(h: &Harness) {
    for verdict in verdicts(h) {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        let followers = jobs(8);
        let settlements: Vec<_> = followers
            .iter()
            .map(|f| Settlement { follow_ups: vec![f.clone()], ..Settlement::new(hold, verdict.clone()) })
            .collect();
        let answers = h
            .on_threads(8, move |backend, n| {
                let mine = settlements[n].clone();
                async move { backend.settle(&QUEUE, &[mine]).await.expect("settle works")[0] }
            })
            .await;
        let applied: Vec<_> = (0..8).filter(|n| answers[*n] == Settled::Applied).collect();
        let repeated = answers.iter().filter(|a| **a == Settled::AlreadyApplied).count();
        assert_eq!((applied.len(), repeated), (1, 7), "{verdict:?}");
        for (n, follower) in followers.iter().enumerate() {
            assert_eq!(h.find(follower.id).await.is_some(), applied == [n], "{verdict:?}");
        }
        for id in [new.id, followers[applied[0]].id] {
            h.backend.cancel(id).await.expect("cancel works");
        }
    }
}
