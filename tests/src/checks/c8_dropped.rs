//! C8: a dropped future leaves the call applied or not applied.
//!
//! Each check drops a call after 0, 1, 2… polls, and after some time where time is real, then repeats it: the
//! outcome must be that of one call.

use crate::{Cut, Harness, QUEUE, abandon, job, jobs};
use job_core::{Enqueued, JobState, LeaseId, Settled, Settlement, Verdict};

/// A dropped enqueue stores all of its batch or nothing; repeated, exactly one of each.
pub async fn a_dropped_enqueue(h: &Harness) {
    for cut in h.cuts() {
        let batch = jobs(20);
        let _ = abandon(h.backend.enqueue(&batch), cut).await;
        let there = h.ids(JobState::Ready).await.len();
        assert!(there == 0 || there == 20, "{there} of 20 jobs are there dropped at {cut:?}");
        let expected: Vec<_> = batch.iter().map(|j| Enqueued::stored(j.id)).collect();
        assert_eq!(h.enqueue(&batch).await, expected);
        let got = h.take(100).jobs().await;
        assert_eq!(got.len(), 20, "dropped at {cut:?}");
        let done: Vec<_> = got.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
        assert_eq!(h.settle_all(&done).await, [Settled::Applied; 20]);
    }
}

/// A dropped claim can be recovered by its lease, and nobody else gets its jobs.
pub async fn a_dropped_claim(h: &Harness) {
    for cut in h.cuts() {
        h.enqueue(&jobs(4)).await;
        let claim = h.take(2);
        let _ = abandon(claim.once(), cut).await;
        let mine = claim.jobs().await;
        let others = h.take(100).jobs().await;
        assert_eq!((mine.len(), others.len()), (2, 2), "dropped at {cut:?}");
        for j in mine.iter().chain(&others) {
            assert_eq!((j.hold.claims, j.attempt), (1, 1), "claimed once");
            h.apply(j.hold, Verdict::Complete).await;
        }
    }
}

/// A dropped settle, repeated, has happened once, its follow-up too.
pub async fn a_dropped_settle(h: &Harness) {
    for cut in h.cuts() {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        let follower = job();
        let settle =
            [Settlement { follow_ups: vec![follower.clone()], ..Settlement::new(hold, Verdict::Complete) }];
        let _ = abandon(h.backend.settle(&QUEUE, &settle), cut).await;
        let again = h.settle_all(&settle).await[0];
        assert_ne!(again, Settled::Stale, "dropped at {cut:?}");
        assert_eq!(h.find(new.id).await, None);
        let got = h.take(10).jobs().await;
        assert_eq!(got.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [follower.id]);
        h.apply(got[0].hold, Verdict::Complete).await;
    }
}

/// The same for both in one call.
pub async fn a_dropped_settle_and_claim(h: &Harness) {
    for cut in h.cuts() {
        h.enqueue(&jobs(2)).await;
        let hold = h.take(1).jobs().await.remove(0).hold;
        let settle = [Settlement::new(hold, Verdict::Complete)];
        let next = h.take(5).lease(LeaseId::random());
        let _ = abandon(next.settling(&settle), cut).await;
        let (settled, got) = next.settling(&settle).await;
        assert_ne!(settled, [Settled::Stale], "dropped at {cut:?}");
        assert_eq!((got.len(), got[0].hold.claims), (1, 1));
        h.apply(got[0].hold, Verdict::Complete).await;
    }
}

/// Many dropped calls leave the store as able to answer as before.
pub async fn many_dropped_calls_leave_the_store_usable(h: &Harness) {
    for round in 0..60 {
        let cut = Cut::Polls(round % 3 + 1);
        let _ = abandon(h.maintain(), cut).await;
        let _ = abandon(h.take(1).once(), cut).await;
        let _ = abandon(h.stats(), cut).await;
    }
    let new = job();
    h.enqueue_one(&new).await;
    let got = h.take(10).jobs().await;
    assert_eq!(got.len(), 1);
    h.apply(got[0].hold, Verdict::Complete).await;
}

/// A dropped wait takes no wake-up from those who wait still, and leaves the queue as it was.
pub async fn a_dropped_wait(h: &Harness) {
    // Polled once, a wait has no reason to wake before there is work.
    for cut in [Cut::Polls(0), Cut::Polls(1)] {
        let _ = abandon(h.backend.wait(&QUEUE), cut).await;
    }
    h.enqueue_one(&job()).await;
    assert_eq!(h.take(1).jobs().await.len(), 1);
}
