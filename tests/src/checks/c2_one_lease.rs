//! C2: at most one live lease per job.

use crate::{Harness, KIND, LONG, QUEUE, job, jobs};
use futures_util::future::join_all;
use job_core::{ClaimRequest, JobId, JobState, LeaseId, Operate, Verdict, WorkerId};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A claimed job is not given to another claim.
pub async fn a_claimed_job_is_not_given_twice(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let first = h.take(10).jobs().await;
    assert_eq!(first.len(), 1);
    assert!(h.take(10).suspects(5).solo().jobs().await.is_empty(), "the job is leased");
    assert_eq!(h.record(new.id).await.state, JobState::Running);
}

/// Eight claimers at once share out the jobs: each goes to one, none is left.
pub async fn eight_claimers_never_share_a_job(h: &Harness) {
    const JOBS: usize = 400;
    h.enqueue(&jobs(JOBS)).await;
    let claimers = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let got = h.take(7).jobs().await;
            if got.is_empty() {
                return mine;
            }
            mine.extend(got.iter().map(|j| j.hold.job));
            tokio::task::yield_now().await;
        }
    });
    let all: Vec<_> = join_all(claimers).await.concat();
    let distinct: HashSet<_> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "a job went to two claimers");
    assert_eq!(all.len(), JOBS, "jobs were left over");
}

/// The same from eight threads that run at the same time.
pub async fn eight_threads_never_share_a_job(h: &Harness) {
    const JOBS: usize = 1_000;
    for batch in jobs(JOBS).chunks(h.backend.info().batch_max) {
        h.enqueue(batch).await;
    }
    let all: Vec<_> = h.on_threads(8, |backend, _| claim_all(backend)).await.concat();
    let distinct: HashSet<_> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "a job went to two claimers");
    assert_eq!(all.len(), JOBS, "jobs were left over");
}

async fn claim_all(backend: Arc<dyn Operate>) -> Vec<JobId> {
    let mut mine = Vec::new();
    loop {
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker: WorkerId::random(),
            kinds: &[KIND],
            limit: 7,
            lease_for: LONG,
            suspect_leases: &[],
            solo: false,
            ahead: &[],
        };
        let claim = backend.claim(&QUEUE, &request).await.expect("claim works");
        if claim.contended {
            // A thread of our own: nobody else waits for it, and a paused clock would not wake it.
            std::thread::sleep(Duration::from_millis(1));
        } else if claim.jobs.is_empty() {
            return mine;
        }
        mine.extend(claim.jobs.iter().map(|j| j.hold.job));
    }
}

/// Claims and releases at once: a job is held by one claimer at a time, and `claims` tells them apart.
pub async fn claims_tell_holders_apart(h: &Harness) {
    h.enqueue_one(&job()).await;
    let workers = (0..4).map(|_| async {
        let mut seen = Vec::new();
        for _ in 0..10 {
            for got in h.take(1).jobs().await {
                seen.push(got.hold.claims);
                h.apply(got.hold, Verdict::Release).await;
            }
            tokio::task::yield_now().await;
        }
        seen
    });
    let mut all: Vec<u64> = join_all(workers).await.concat();
    all.sort_unstable();
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert!(!all.is_empty() && all == expected, "each claim has its own number: {all:?}");
}

/// `claims` grows at every claim and never starts again, not even at a replay.
pub async fn claims_only_grow(h: &Harness) {
    let mut new = job();
    new.max_attempts = 1;
    h.enqueue_one(&new).await;
    let first = h.take(1).jobs().await.remove(0);
    assert_eq!(first.hold.claims, 1);
    h.apply(first.hold, Verdict::Release).await;
    let second = h.take(1).jobs().await.remove(0);
    assert_eq!((second.hold.claims, second.attempt), (2, 1), "a release does not count as an attempt");
    let error = crate::report("no");
    h.apply(second.hold, Verdict::Retry { after: h.unit(), error }).await;
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    let third = h.take(1).jobs().await.remove(0);
    assert_eq!((third.hold.claims, third.attempt), (3, 1), "a replay starts attempts again, but not claims");
}
