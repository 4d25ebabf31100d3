//! C4: expired leases, suspects and poison.

use crate::{Harness, LONG, OTHER_KIND, QUEUE, job, jobs, report};
use job_core::{DeadReason, JobState, MaintainRequest, Suspicion, Verdict};
use std::collections::HashSet;

/// The jobs of an expired lease come back, and nothing is charged for it.
pub async fn jobs_of_an_expired_lease_come_back(h: &Harness) {
    let new = jobs(3);
    h.enqueue(&new).await;
    assert_eq!(h.take(3).lease_for(h.units(2)).jobs().await.len(), 3);
    h.pass(h.units(3)).await;
    let done = h.reap(1).await;
    assert_eq!((done.leases_reaped, done.jobs_returned, done.poisoned), (1, 3, 0));
    for j in &new {
        let record = h.record(j.id).await;
        assert_eq!((record.state, record.attempt, record.claims, record.crashes), (JobState::Ready, 0, 1, 0));
    }
}

/// Only what has not been settled comes back.
pub async fn settled_jobs_do_not_come_back(h: &Harness) {
    let new = jobs(2);
    h.enqueue(&new).await;
    let held = h.take(2).lease_for(h.units(2)).jobs().await;
    h.apply(held[0].hold, Verdict::Complete).await;
    h.pass(h.units(3)).await;
    assert_eq!(h.reap(1).await.jobs_returned, 1);
    assert_eq!(h.find(new[0].id).await, None);
    assert_eq!(h.ids(JobState::Ready).await, [new[1].id]);
}

/// A lease that has not expired is left alone.
pub async fn a_live_lease_is_left_alone(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    assert_eq!(h.maintain().await.leases_reaped, 0);
    h.apply(hold, Verdict::Complete).await;
}

/// `reap: false` leaves expired leases alone.
pub async fn nothing_is_reaped_unless_asked(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).lease_for(h.units(1)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    let request = MaintainRequest { reap: false, ..MaintainRequest::default() };
    let done = h.backend.maintain(&QUEUE, &request).await.expect("maintain works");
    assert_eq!(done.leases_reaped, 0);
    h.apply(hold, Verdict::Complete).await;
}

/// Suspects are not taken as normal jobs, and each gets a lease of its own.
pub async fn suspects_run_under_their_own_leases(h: &Harness) {
    h.enqueue(&jobs(3)).await;
    assert_eq!(h.crash(h.take(3)).await, 3);
    assert!(h.take(10).jobs().await.is_empty(), "suspects are not normal jobs");
    assert!(h.take(10).solo().jobs().await.is_empty(), "there was no lease for a suspect");
    let normal = job();
    h.enqueue_one(&normal).await;
    let got = h.take(10).suspects(2).jobs().await;
    let suspects: Vec<_> = got.iter().filter(|j| j.suspicion == Suspicion::Suspect).collect();
    assert_eq!((got.len(), suspects.len()), (3, 2), "a normal job, and a suspect for each lease offered");
    let leases: HashSet<_> = got.iter().map(|j| j.hold.lease).collect();
    assert_eq!(leases.len(), 3, "no two share a lease");
    assert!(got.iter().any(|j| j.hold.job == normal.id && j.suspicion == Suspicion::None));
    assert!(got.iter().all(|j| j.attempt == 1), "the crash was not charged");
    for j in got {
        h.apply(j.hold, Verdict::Complete).await;
    }
}

/// Suspects come on top of the limit.
pub async fn suspects_come_on_top_of_the_limit(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    h.crash(h.take(2)).await;
    h.enqueue(&jobs(2)).await;
    let got = h.take(1).suspects(1).jobs().await;
    let suspects = got.iter().filter(|j| j.suspicion == Suspicion::Suspect).count();
    assert_eq!((got.len(), suspects), (2, 1));
}

/// Suspects of kinds that the worker does not handle are left alone.
pub async fn suspects_of_other_kinds_are_left_alone(h: &Harness) {
    h.enqueue_one(&job()).await;
    h.crash(h.take(1)).await;
    assert!(h.take(1).kinds(&[OTHER_KIND]).suspects(1).solo().jobs().await.is_empty());
    assert_eq!(h.take(0).suspects(1).jobs().await.len(), 1);
}

/// A suspect that crashes again counts a crash and runs solo from then on.
pub async fn a_suspect_that_crashes_runs_solo(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    h.crash(h.take(1)).await;
    assert_eq!(h.crash(h.take(0).suspects(1)).await, 1);
    let record = h.record(new.id).await;
    assert_eq!((record.state, record.crashes, record.attempt), (JobState::Ready, 1, 0));
    assert!(h.take(5).suspects(5).jobs().await.is_empty(), "a solo job needs `solo`");
    assert!(h.take(5).solo().jobs().await.is_empty(), "a solo job needs a lease");
    let got = h.take(5).suspects(5).solo().jobs().await;
    assert_eq!((got.len(), got[0].suspicion, got[0].attempt), (1, Suspicion::Solo, 1));
}

/// One solo job at a time, and none beside another suspect.
pub async fn a_solo_job_runs_alone(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    h.crash(h.take(2)).await;
    assert_eq!(h.crash(h.take(0).suspects(2)).await, 2);
    h.enqueue_one(&job()).await;
    h.crash(h.take(1)).await;
    let got = h.take(0).suspects(5).solo().jobs().await;
    assert_eq!((got.len(), got[0].suspicion), (1, Suspicion::Suspect), "the suspect goes first, alone");
    h.apply(got[0].hold, Verdict::Complete).await;
    let got = h.take(0).suspects(5).solo().jobs().await;
    assert_eq!((got.len(), got[0].suspicion), (1, Suspicion::Solo), "one solo job, though two wait");
}

/// A job that kills its process every time goes dead, and its neighbours do not.
pub async fn a_poisonous_job_goes_dead(h: &Harness) {
    let new = jobs(3);
    h.enqueue(&new).await;
    h.crash(h.take(3)).await;
    // The innocent ones complete as suspects; claim order among them is the backend's.
    for got in h.take(0).suspects(3).lease_for(h.units(2)).jobs().await {
        if got.hold.job != new[0].id {
            h.apply(got.hold, Verdict::Complete).await;
        }
    }
    h.pass(h.units(3)).await;
    h.reap(1).await;
    h.crash(h.take(0).suspects(1).solo()).await;
    let record = h.record(new[0].id).await;
    assert_eq!(
        (record.state, record.crashes, record.attempt),
        (JobState::Ready, 2, 1),
        "a solo crash is charged"
    );
    let last = h.take(0).suspects(1).solo().lease_for(h.units(2)).jobs().await;
    assert_eq!((last.len(), last[0].attempt), (1, 2));
    h.pass(h.units(3)).await;
    assert_eq!(h.reap(1).await.poisoned, 1);
    let record = h.record(new[0].id).await;
    assert_eq!((record.state, record.dead_reason), (JobState::Dead, Some(DeadReason::Poisoned)));
    assert_eq!((record.crashes, record.attempt, record.claims), (3, 2, 4));
    assert!(record.died_at.is_some());
    for innocent in &new[1..] {
        assert_eq!(h.find(innocent.id).await, None, "it completed");
    }
}

/// `retries = 0` and a neighbour's crash do not mean dead without a run.
pub async fn a_neighbours_crash_costs_no_attempt(h: &Harness) {
    let mut innocent = job();
    innocent.max_attempts = 1;
    h.enqueue(&[innocent.clone(), job()]).await;
    h.crash(h.take(2)).await;
    h.crash(h.take(0).suspects(2)).await;
    assert_eq!(
        h.record(innocent.id).await.state,
        JobState::Ready,
        "two crashes near it, no attempt of its own"
    );
    // Which of the two runs solo first is the backend's business; the innocent one is crashed, the other completed.
    while h.record(innocent.id).await.state != JobState::Dead {
        let got = h.take(0).suspects(1).solo().lease_for(h.units(2)).jobs().await;
        assert_eq!((got.len(), got[0].suspicion), (1, Suspicion::Solo));
        if got[0].hold.job == innocent.id {
            h.pass(h.units(3)).await;
            h.reap(1).await;
        } else {
            h.apply(got[0].hold, Verdict::Complete).await;
        }
    }
    let record = h.record(innocent.id).await;
    assert_eq!(record.dead_reason, Some(DeadReason::Exhausted));
    assert_eq!((record.attempt, record.crashes), (1, 2), "alone, its crash is its own");
}

/// The limit of crashes is the caller's.
pub async fn the_poison_limit_is_the_callers(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    h.crash(h.take(1)).await;
    h.crash(h.take(0).suspects(1)).await;
    h.take(0).suspects(1).solo().lease_for(h.units(2)).jobs().await;
    h.pass(h.units(3)).await;
    let request = MaintainRequest { poison_limit: 2, ..MaintainRequest::default() };
    let reaped = h
        .until("the reap of the solo lease", || async {
            let done = h.backend.maintain(&QUEUE, &request).await.expect("maintain works");
            (done.leases_reaped > 0).then_some(done)
        })
        .await;
    assert_eq!((reaped.poisoned, reaped.jobs_returned), (1, 0));
    assert_eq!(h.record(new.id).await.dead_reason, Some(DeadReason::Poisoned));
}

/// A verdict that brings the job back clears it of suspicion.
pub async fn a_verdict_clears_suspicion(h: &Harness) {
    let back = [
        Verdict::Release,
        Verdict::Snooze { delay: h.unit() },
        Verdict::Retry { after: h.unit(), error: report("again") },
    ];
    for verdict in back {
        let new = job();
        h.enqueue_one(&new).await;
        h.crash(h.take(1)).await;
        h.crash(h.take(0).suspects(1)).await;
        let hold = h.take(0).suspects(1).solo().jobs().await.remove(0).hold;
        h.apply(hold, verdict.clone()).await;
        assert_eq!(h.record(new.id).await.crashes, 0, "{verdict:?}");
        if verdict != Verdict::Release {
            h.pass(h.units(2)).await;
            h.promote(1).await;
        }
        let got = h.take(5).jobs().await;
        assert_eq!((got.len(), got[0].suspicion), (1, Suspicion::None), "{verdict:?}");
        h.apply(got[0].hold, Verdict::Complete).await;
    }
}

/// A round of maintenance does a bounded amount and says if there is more.
pub async fn maintenance_is_bounded(h: &Harness) {
    h.enqueue(&jobs(3)).await;
    for _ in 0..3 {
        assert_eq!(h.take(1).lease_for(h.units(1)).jobs().await.len(), 1);
    }
    h.pass(h.units(3)).await;
    let request = MaintainRequest { limit: 2, ..MaintainRequest::default() };
    let first = h.backend.maintain(&QUEUE, &request).await.expect("maintain works");
    assert_eq!((first.leases_reaped, first.more), (2, true));
    let second = h.backend.maintain(&QUEUE, &request).await.expect("maintain works");
    assert_eq!((second.leases_reaped, second.more), (1, false));
    let extended = h.backend.extend(&QUEUE, &[], LONG).await.expect("extend works");
    assert!(extended.leases.is_empty() && extended.cancel.is_empty());
}
