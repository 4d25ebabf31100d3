//! Administration: get, list, replay, discard, cancel, pause, stats, and wake-ups.

use crate::{Harness, KIND, LONG, OTHER_KIND, QUEUE, job, jobs, report};
use job_core::{
    Cancelled, ClaimRequest, DeadReason, JobState, LeaseId, ListFilter, QueueStats, Settled, Verdict, When,
    WorkerId,
};
use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;

async fn kill(h: &Harness, text: &str) -> job_core::JobId {
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Dead { reason: DeadReason::Undecodable, error: report(text) }).await;
    hold.job
}

/// What went wrong is kept with the worker where it did, also of a job that runs under a lease of its own.
pub async fn an_error_names_its_worker(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let workers = [WorkerId::random(), WorkerId::random(), WorkerId::random()];
    let hold = h.take(1).by(workers[0]).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Retry { after: Duration::ZERO, error: report("e") }).await;
    h.promote(1).await;
    assert_eq!(h.crash(h.take(1)).await, 1);
    let hold = h.take(0).suspects(1).by(workers[1]).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Retry { after: Duration::ZERO, error: report("e") }).await;
    h.promote(1).await;
    let hold = h.take(1).by(workers[2]).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    let named: Vec<_> = h.record(new.id).await.errors.iter().map(|e| e.worker).collect();
    assert_eq!(named, workers.map(Some));
}

/// A dead job says why, when, and what went wrong.
pub async fn a_dead_job_says_why(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    kill(h, "NUL \0, é, and \"quotes\"").await;
    let record = h.record(new.id).await;
    assert_eq!((record.state, record.dead_reason), (JobState::Dead, Some(DeadReason::Undecodable)));
    assert_eq!((record.attempt, record.run_at), (1, None));
    assert!(record.died_at.expect("it has a time") >= record.enqueued_at);
    let errors: Vec<_> = record.errors.iter().map(|e| (e.attempt, e.error.as_str())).collect();
    assert_eq!(errors, [(1, "NUL \\0, é, and \"quotes\"")]);
}

/// A replayed job starts again: attempts and crashes from 0, what went wrong is kept.
pub async fn a_replayed_job_starts_again(h: &Harness) {
    let mut new = job();
    new.max_attempts = 1;
    h.enqueue_one(&new).await;
    kill(h, "first").await;
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    let record = h.record(new.id).await;
    assert_eq!((record.state, record.attempt, record.crashes, record.claims), (JobState::Ready, 0, 0, 1));
    assert_eq!((record.died_at, record.dead_reason), (None, None));
    assert_eq!(record.errors.len(), 1);
    let got = h.take(1).jobs().await.remove(0);
    assert_eq!((got.attempt, got.hold.claims), (1, 2));
    h.apply(got.hold, Verdict::Complete).await;
}

/// A discarded job is gone, once.
pub async fn a_discarded_job_is_gone(h: &Harness) {
    h.enqueue_one(&job()).await;
    let id = kill(h, "e").await;
    assert_eq!(h.backend.discard(&[id]).await.expect("discard works"), [true]);
    assert_eq!(h.backend.discard(&[id]).await.expect("discard works"), [false]);
    assert_eq!(h.backend.replay(&[id]).await.expect("replay works"), [false]);
    assert_eq!((h.find(id).await, h.stats().await.dead), (None, 0));
}

/// A waiting job is cancelled at once, wherever it waits.
pub async fn a_waiting_job_is_cancelled_at_once(h: &Harness) {
    let (ready, mut scheduled, failing) = (job(), job(), job());
    scheduled.when = When::After(h.units(3));
    h.enqueue(&[failing.clone(), ready.clone(), scheduled.clone()]).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Retry { after: h.units(3), error: report("e") }).await;
    for id in [ready.id, scheduled.id, failing.id] {
        assert_eq!(h.backend.cancel(id).await.expect("cancel works"), Cancelled::Now);
        assert_eq!(h.backend.cancel(id).await.expect("cancel works"), Cancelled::NotFound, "it has ended");
    }
    h.pass(h.units(4)).await;
    h.maintain().await;
    assert!(h.take(10).suspects(3).solo().jobs().await.is_empty());
    assert_eq!(h.stats().await, QueueStats::default());
}

/// A suspect that waits is cancelled too.
pub async fn a_waiting_suspect_is_cancelled(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    h.crash(h.take(1)).await;
    assert_eq!(h.backend.cancel(new.id).await.expect("cancel works"), Cancelled::Now);
    assert!(h.take(10).suspects(3).solo().jobs().await.is_empty());
}

/// A dead job and one that never was cannot be cancelled.
pub async fn what_has_ended_cannot_be_cancelled(h: &Harness) {
    h.enqueue_one(&job()).await;
    let id = kill(h, "e").await;
    assert_eq!(h.backend.cancel(id).await.expect("cancel works"), Cancelled::NotFound);
    assert_eq!(h.record(id).await.state, JobState::Dead);
    assert_eq!(h.backend.cancel(job().id).await.expect("cancel works"), Cancelled::NotFound);
}

/// A running job is asked through its extension; a completion that comes first wins.
pub async fn a_running_job_is_asked_to_stop(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    let held = h.take(2).jobs().await;
    let (asked, lease) = (held[1].hold, held[0].hold.lease);
    assert_eq!(h.backend.cancel(asked.job).await.expect("cancel works"), Cancelled::Asked);
    assert_eq!(
        h.backend.cancel(asked.job).await.expect("cancel works"),
        Cancelled::Asked,
        "asking again is fine"
    );
    for _ in 0..2 {
        let extended = h.backend.extend(&QUEUE, &[lease], LONG).await.expect("extend works");
        assert_eq!(extended.cancel, [asked.job], "told until it is settled");
    }
    assert_eq!(h.record(asked.job).await.state, JobState::Running);
    h.apply(asked, Verdict::Complete).await;
    let extended = h.backend.extend(&QUEUE, &[lease], LONG).await.expect("extend works");
    assert!(extended.cancel.is_empty());
    assert_eq!(h.find(asked.job).await, None);
}

/// A job that was asked to stop does not come back.
pub async fn a_job_asked_to_stop_does_not_come_back(h: &Harness) {
    let verdicts = [
        Some(Verdict::Retry { after: h.unit(), error: report("e") }),
        Some(Verdict::Snooze { delay: h.unit() }),
        Some(Verdict::Release),
        Some(Verdict::Cancel),
        None,
    ];
    for verdict in verdicts {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
        assert_eq!(h.backend.cancel(new.id).await.expect("cancel works"), Cancelled::Asked);
        if let Some(verdict) = verdict.clone() {
            h.apply(hold, verdict).await;
        } else {
            h.pass(h.units(3)).await;
            assert_eq!(h.reap(1).await.jobs_returned, 0);
            assert_eq!(h.settle(hold, Verdict::Complete).await, Settled::Stale);
        }
        assert_eq!(h.find(new.id).await, None, "{verdict:?} (None is an expired lease)");
        assert_eq!(h.backend.cancel(new.id).await.expect("cancel works"), Cancelled::NotFound);
    }
}

/// Cancels and claims of the same jobs at the same time: a job is cancelled at once or claimed, never both.
pub async fn a_cancel_and_a_claim_never_both_win(h: &Harness) {
    const JOBS: usize = 300;
    let new = jobs(JOBS);
    h.enqueue(&new).await;
    let ids: Vec<_> = new.iter().map(|j| j.id).collect();
    let outcomes = h
        .on_threads(4, move |backend, n| {
            let ids = ids.clone();
            async move {
                let (mut cancelled, mut claimed) = (Vec::new(), Vec::new());
                if n < 2 {
                    for id in ids.iter().skip(n).step_by(2) {
                        if backend.cancel(*id).await.expect("cancel works") == Cancelled::Now {
                            cancelled.push(*id);
                        }
                    }
                    return (cancelled, claimed);
                }
                for _ in 0..JOBS {
                    let (lease, worker) = (LeaseId::random(), WorkerId::random());
                    let kinds = &[KIND];
                    let request = ClaimRequest {
                        lease,
                        worker,
                        kinds,
                        limit: 1,
                        lease_for: LONG,
                        suspect_leases: &[],
                        solo: false,
                        ahead: &[],
                    };
                    let claim = backend.claim(&QUEUE, &request).await.expect("claim works");
                    claimed.extend(claim.jobs.iter().map(|j| j.hold.job));
                }
                (cancelled, claimed)
            }
        })
        .await;
    let cancelled: HashSet<_> = outcomes.iter().flat_map(|(cancelled, _)| cancelled).collect();
    let claimed: HashSet<_> = outcomes.iter().flat_map(|(_, claimed)| claimed).collect();
    assert!(cancelled.is_disjoint(&claimed), "a job was cancelled at once, and given away");
    let ready: HashSet<_> = h.ids(JobState::Ready).await.into_iter().collect();
    assert_eq!(cancelled.len() + claimed.len() + ready.len(), JOBS, "none is lost");
}

/// A failure for good is kept although the job was asked to stop; a replay forgets the request.
pub async fn a_dead_verdict_wins_over_a_cancel(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.backend.cancel(new.id).await.expect("cancel works");
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    assert_eq!(h.record(new.id).await.state, JobState::Dead);
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    let hold = h.take(1).jobs().await.remove(0).hold;
    let extended = h.backend.extend(&QUEUE, &[hold.lease], LONG).await.expect("extend works");
    assert!(extended.cancel.is_empty(), "the request belonged to the earlier run");
    h.apply(hold, Verdict::Release).await;
    assert_eq!(h.record(new.id).await.state, JobState::Ready);
}

/// A paused queue gives no job away, takes jobs in, and lets running ones go on.
pub async fn a_paused_queue_gives_no_job_away(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    let claim = h.take(1);
    let held = claim.jobs().await;
    h.backend.pause(&QUEUE).await.expect("pause works");
    h.backend.pause(&QUEUE).await.expect("pause works twice");
    assert!(h.stats().await.paused);
    assert!(h.take(5).suspects(2).solo().jobs().await.is_empty());
    assert_eq!(claim.jobs().await, held, "what is claimed stays claimed");
    h.enqueue_one(&job()).await;
    let extended = h.backend.extend(&QUEUE, &[held[0].hold.lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [job_core::LeaseStatus::Held]);
    let done = [job_core::Settlement::new(held[0].hold, Verdict::Complete)];
    let (settled, got) = h.take(5).settling(&done).await;
    assert_eq!((settled, got.len()), (vec![Settled::Applied], 0));
    h.backend.resume(&QUEUE).await.expect("resume works");
    assert_eq!((h.take(5).jobs().await.len(), h.stats().await.paused), (2, false));
}

/// A list goes through every job once, page by page, also while jobs leave it.
pub async fn a_list_goes_through_every_job_once(h: &Harness) {
    let mut new = jobs(25);
    for j in new.iter_mut().skip(1).step_by(2) {
        j.kind = OTHER_KIND;
    }
    h.enqueue(&new).await;
    for kind in [None, Some(OTHER_KIND)] {
        let mut filter = ListFilter { limit: 4, kind, ..ListFilter::new(QUEUE, JobState::Ready) };
        let mut got = Vec::new();
        loop {
            let page = h.backend.list(&filter).await.expect("list works");
            assert!(page.jobs.len() <= 4, "a page keeps its limit");
            got.extend(page.jobs.iter().map(|j| j.id));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        let wanted = new.iter().filter(|j| filter.kind.as_ref().is_none_or(|k| *k == j.kind));
        assert_eq!(got, wanted.map(|j| j.id).collect::<Vec<_>>(), "oldest first, each once");
    }
    let mut filter = ListFilter { limit: 10, ..ListFilter::new(QUEUE, JobState::Ready) };
    filter.after = h.backend.list(&filter).await.expect("list works").next;
    for j in new.iter().take(10) {
        h.backend.cancel(j.id).await.expect("cancel works");
    }
    let page = h.backend.list(&filter).await.expect("list works");
    assert_eq!(
        page.jobs.iter().map(|j| j.id).collect::<Vec<_>>(),
        new[10..20].iter().map(|j| j.id).collect::<Vec<_>>()
    );
}

/// A list has the jobs of its state only.
pub async fn a_list_has_one_state(h: &Harness) {
    let mut new = jobs(4);
    new[3].when = When::After(h.units(50));
    h.enqueue(&new).await;
    let held = h.take(2).jobs().await;
    h.apply(held[0].hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    let by_state = [
        (JobState::Dead, vec![new[0].id]),
        (JobState::Running, vec![new[1].id]),
        (JobState::Ready, vec![new[2].id]),
        (JobState::Scheduled, vec![new[3].id]),
        (JobState::Retrying, vec![]),
    ];
    for (state, ids) in by_state {
        assert_eq!(h.ids(state).await, ids, "{state}");
    }
}

/// The numbers of a queue are those of its jobs.
pub async fn the_numbers_are_right(h: &Harness) {
    let mut new = jobs(6);
    new[5].when = When::After(h.units(50));
    h.enqueue(&new).await;
    let held = h.take(3).jobs().await;
    h.apply(held[0].hold, Verdict::Retry { after: h.units(50), error: report("e") }).await;
    h.apply(held[1].hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    h.pass(h.units(2)).await;
    let s = h.stats().await;
    assert_eq!((s.ready, s.running, s.scheduled, s.retrying, s.dead), (2, 1, 1, 1, 1));
    let oldest = s.oldest_ready.expect("a job is ready");
    assert!(oldest >= h.units(2), "the oldest waits {oldest:?}");
}

/// A queue that nobody used has no numbers and is not listed.
pub async fn an_unused_queue_is_empty(h: &Harness) {
    assert_eq!(h.stats().await, QueueStats::default());
    assert!(h.backend.queues().await.expect("queues works").is_empty());
    assert_eq!(h.maintain().await, job_core::Maintained::default());
    assert_eq!(h.find(job().id).await, None);
}

/// A waiter wakes when a job is enqueued, if the store says that it wakes waiters at all.
pub async fn a_wait_ends_with_an_enqueue(h: &Harness) {
    for round in 0..3 {
        let begun = Cell::new(false);
        let wait = async {
            // It may return for nothing before there is something.
            loop {
                h.backend.wait(&QUEUE).await.expect("wait works");
                if begun.get() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let patience = h.units(20).max(Duration::from_secs(5));
        let enqueue = async {
            tokio::task::yield_now().await;
            begun.set(true);
            h.enqueue_one(&job()).await;
        };
        let (woken, ()) = tokio::join!(tokio::time::timeout(patience, wait), enqueue);
        assert!(woken.is_ok() || !h.wakes(), "round {round}: nobody was woken in {patience:?}");
        assert_eq!(h.take(1).jobs().await.len(), 1, "awake or not, the job is there");
    }
}
