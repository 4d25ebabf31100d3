//! C6: claim order.

use crate::{Harness, KIND, OTHER_KIND, job, jobs};
use job_core::{JobId, Priority, Verdict, When};

async fn order(h: &Harness) -> Vec<JobId> {
    h.take(100).jobs().await.iter().map(|j| j.hold.job).collect()
}

/// Jobs of one priority come in the order of their enqueue, within a batch and across batches.
pub async fn first_in_first_out(h: &Harness) {
    let new = jobs(9);
    for batch in new.chunks(3) {
        h.enqueue(batch).await;
    }
    let mut got = Vec::new();
    for n in [1, 3, 100] {
        got.extend(h.take(n).jobs().await.iter().map(|j| j.hold.job));
    }
    assert_eq!(got, new.iter().map(|j| j.id).collect::<Vec<_>>());
}

/// Lower priorities first, whatever the order of enqueue.
pub async fn priority_comes_first(h: &Harness) {
    let mut new = Vec::new();
    for level in [5, 9, 0, 3, 9, 0, 5] {
        let mut j = job();
        j.priority = Priority::new(level).expect("0 to 9");
        new.push(j);
    }
    h.enqueue(&new).await;
    let expected: Vec<_> = [2, 5, 3, 0, 6, 1, 4].iter().map(|&n: &usize| new[n].id).collect();
    assert_eq!(order(h).await, expected);
}

/// The same if it takes several claims.
pub async fn priority_comes_first_across_claims(h: &Harness) {
    let mut low = job();
    low.priority = Priority::LOW;
    let mut high = job();
    high.priority = Priority::HIGH;
    let normal = job();
    h.enqueue(&[low.clone(), normal.clone()]).await;
    h.enqueue_one(&high).await;
    for expected in [high.id, normal.id, low.id] {
        assert_eq!(h.take(1).jobs().await[0].hold.job, expected);
    }
}

/// Jobs of several kinds come in one order.
pub async fn kinds_share_one_order(h: &Harness) {
    let mut new = jobs(6);
    for j in new.iter_mut().step_by(2) {
        j.kind = OTHER_KIND;
    }
    h.enqueue(&new).await;
    assert_eq!(
        h.take(3).kinds(&[KIND, OTHER_KIND, KIND]).jobs().await.len(),
        3,
        "a kind named twice counts once"
    );
    assert_eq!(order(h).await, new[3..].iter().map(|j| j.id).collect::<Vec<_>>());
}

/// A released job goes ahead of the fresh ones of its priority, but not of a better priority.
pub async fn returned_jobs_go_first_in_their_priority(h: &Harness) {
    let new = jobs(4);
    h.enqueue(&new).await;
    let held = h.take(2).jobs().await;
    let mut high = job();
    high.priority = Priority::HIGH;
    h.enqueue_one(&high).await;
    // In the order of return, not of enqueue.
    h.apply(held[1].hold, Verdict::Release).await;
    h.apply(held[0].hold, Verdict::Release).await;
    assert_eq!(order(h).await, [high.id, new[1].id, new[0].id, new[2].id, new[3].id]);
}

/// A job that waited for its time queues from when it became ready.
pub async fn a_scheduled_job_queues_when_it_is_due(h: &Harness) {
    let mut later = job();
    later.when = When::After(h.units(2));
    let (before, after) = (job(), job());
    h.enqueue(&[later.clone(), before.clone()]).await;
    h.pass(h.units(3)).await;
    h.promote(1).await;
    h.enqueue_one(&after).await;
    assert_eq!(order(h).await, [before.id, later.id, after.id]);
}

/// A claim takes no more than its limit.
pub async fn the_limit_is_kept(h: &Harness) {
    h.enqueue(&jobs(5)).await;
    for (limit, expected) in [(0, 0), (1, 1), (3, 3), (3, 1), (3, 0)] {
        assert_eq!(h.take(limit).jobs().await.len(), expected);
    }
}
