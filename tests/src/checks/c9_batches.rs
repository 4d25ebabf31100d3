//! C9: batch answers have the length and order of the batch.

use crate::{Harness, job, jobs, report};
use job_core::{DeadReason, JobState, LeaseId, Settled, Settlement, Verdict};

/// A thousand verdicts of every sort in one batch: each is answered in its place and does what it says.
pub async fn a_thousand_mixed_verdicts(h: &Harness) {
    const JOBS: usize = 1_000;
    let batch = jobs(JOBS.min(h.backend.info().batch_max));
    h.enqueue(&batch).await;
    let mut held = Vec::new();
    while held.len() < batch.len() {
        let got = h.take(1_000).jobs().await;
        assert!(!got.is_empty());
        held.extend(got);
    }
    let mut settlements = Vec::new();
    let mut expected = Vec::new();
    for (n, j) in held.iter().enumerate() {
        let verdict = match n % 6 {
            0 | 5 => Verdict::Complete,
            1 => Verdict::Retry { after: h.units(100), error: report("e") },
            2 => Verdict::Snooze { delay: h.units(100) },
            3 => Verdict::Release,
            _ => Verdict::Dead { reason: DeadReason::Permanent, error: report("e") },
        };
        let mut hold = j.hold;
        if n % 6 == 5 {
            hold.lease = LeaseId::random();
        }
        expected.push(if n % 6 == 5 { Settled::Stale } else { Settled::Applied });
        settlements.push(Settlement::new(hold, verdict));
    }
    assert_eq!(h.settle_all(&settlements).await, expected);
    let states: Vec<_> =
        [JobState::Retrying, JobState::Scheduled, JobState::Ready, JobState::Dead, JobState::Running]
            .into_iter()
            .zip(1..)
            .collect();
    for (state, rest) in states {
        let expected: Vec<_> =
            batch.iter().enumerate().filter(|(n, _)| n % 6 == rest).map(|(_, j)| j.id).collect();
        let mut got = h.ids(state).await;
        got.sort_unstable();
        assert_eq!(got.len(), expected.len(), "{state}");
        assert!(expected.iter().all(|id| got.binary_search(id).is_ok()), "{state}");
    }
    for (said, n) in expected.iter_mut().zip(0..) {
        *said = if n % 6 == 5 { Settled::Stale } else { Settled::AlreadyApplied };
    }
    assert_eq!(h.settle_all(&settlements).await, expected, "the whole batch repeated");
}

/// The same job twice in one batch: the first verdict counts.
pub async fn the_first_verdict_in_a_batch_counts(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let twice = [
        Settlement::new(hold, Verdict::Snooze { delay: h.units(50) }),
        Settlement::new(hold, Verdict::Complete),
    ];
    assert_eq!(h.settle_all(&twice).await, [Settled::Applied, Settled::AlreadyApplied]);
    assert_eq!(h.record(new.id).await.state, JobState::Scheduled);
}

/// The same job twice in one enqueue is stored once.
pub async fn a_job_twice_in_a_batch_is_stored_once(h: &Harness) {
    let (a, b, c) = (job(), job(), job());
    let answers = h.enqueue(&[a.clone(), b.clone(), a.clone(), c.clone()]).await;
    assert_eq!(answers.iter().map(|e| e.id).collect::<Vec<_>>(), [a.id, b.id, a.id, c.id]);
    assert_eq!(h.ids(JobState::Ready).await, [a.id, b.id, c.id]);
}

/// Administration of several jobs answers in order too.
pub async fn administration_answers_in_order(h: &Harness) {
    let new = jobs(3);
    h.enqueue(&new).await;
    let mut held = h.take(2).jobs().await;
    let dead = Verdict::Dead { reason: DeadReason::Permanent, error: report("e") };
    h.apply(held.remove(1).hold, dead).await;
    let ask = [new[2].id, new[1].id, job().id, new[0].id];
    assert_eq!(h.backend.replay(&ask).await.expect("replay works"), [false, true, false, false]);
    assert_eq!(h.backend.replay(&ask).await.expect("replay works"), [false; 4], "it is no longer dead");
    assert_eq!(h.backend.discard(&ask).await.expect("discard works"), [false; 4]);
}
