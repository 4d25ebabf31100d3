//! Keys under many hands: no two live holders, no change lost, none run twice.

use super::keys::{LATEST, REPLACE, unique};
use crate::{Harness, KIND, LONG, QUEUE};
use job_core::{
    BackendError, ClaimRequest, Enqueued, JobId, JobState, LeaseId, MaintainRequest, NewJob, OnConflict,
    Operate, Settlement, Verdict, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Until the store is not disturbed: a deadlock that it broke is to be repeated.
async fn insist(store: &Arc<dyn Operate>, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
    for _ in 0..20 {
        match store.enqueue(jobs).await {
            Err(error) if error.is_transient() => {}
            answer => return answer,
        }
    }
    store.enqueue(jobs).await
}

/// Batches with overlapping keys, whatever they do if one is taken: one live job for each key at the end, and a batch that
/// was refused has left nothing.
pub async fn batches_at_once_leave_one_holder_a_key(h: &Harness) {
    const KEYS: usize = 6;
    let max_wait = LONG;
    let answers = h
        .on_threads(6, move |store, thread| async move {
            let policy =
                [OnConflict::Existing, OnConflict::Error, REPLACE, LATEST, OnConflict::Debounce { max_wait }];
            let mut all = Vec::new();
            for round in 0..4 {
                let mut batch: Vec<_> = (0..KEYS)
                    .map(|key| unique(&format!("{round}/{key}"), policy[(key + thread) % policy.len()]))
                    .collect();
                if thread % 2 == 1 {
                    batch.reverse();
                }
                let answer = insist(&store, &batch).await;
                all.push((batch, answer));
            }
            all
        })
        .await;
    let (mut live, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for (batch, answer) in answers.iter().flatten() {
        match answer {
            Err(error) => {
                assert!(error.key_taken().is_some(), "{error}");
                gone.extend(batch.iter().map(|job| job.id));
            }
            Ok(answers) => {
                let stored = answers.iter().zip(batch).filter(|(answer, _)| !answer.deduplicated);
                live.extend(stored.map(|(answer, _)| answer.id));
                gone.extend(answers.iter().filter_map(|answer| answer.replaced));
                gone.extend(answers.iter().zip(batch).filter(|(a, _)| a.deduplicated).map(|(_, job)| job.id));
            }
        }
    }
    let expected: BTreeSet<_> = live.difference(&gone).copied().collect();
    let mut there: BTreeSet<JobId> = h.ids(JobState::Ready).await.into_iter().collect();
    there.extend(h.ids(JobState::Scheduled).await);
    assert_eq!(there, expected, "what was stored and not replaced, and nothing else");
    assert_eq!(there.len(), 4 * KEYS, "one live job for each key");
}

/// What one thread of the next check saw: its enqueues, and the jobs that it ran.
type Seen = (Vec<(JobId, Enqueued)>, Vec<JobId>);

async fn enqueue_many(store: Arc<dyn Operate>, thread: usize, left: Arc<AtomicUsize>) -> Seen {
    let mut seen = Vec::new();
    for n in 0..25 {
        let new = unique(&format!("{}", n % 2), if thread == 0 { REPLACE } else { LATEST });
        let answer = insist(&store, std::slice::from_ref(&new)).await.expect("enqueue works")[0];
        seen.push((new.id, answer));
        tokio::task::yield_now().await;
    }
    left.fetch_sub(1, Ordering::SeqCst);
    (seen, Vec::new())
}

async fn run_all(store: Arc<dyn Operate>, left: Arc<AtomicUsize>) -> Seen {
    let (mut ran, mut idle) = (Vec::new(), 0);
    while idle < 3 {
        let last = left.load(Ordering::SeqCst) == 0;
        let request = MaintainRequest { reap: false, ..MaintainRequest::default() };
        store.maintain(&QUEUE, &request).await.expect("maintain works");
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker: WorkerId::random(),
            kinds: &[KIND],
            limit: 2,
            lease_for: LONG,
            suspect_leases: &[],
            solo: false,
            ahead: &[],
        };
        let claim = store.claim(&QUEUE, &request).await.expect("claim works");
        for job in &claim.jobs {
            assert_eq!(job.payload, format!("\"{}\"", job.hold.job), "its own arguments, whole");
            ran.push(job.hold.job);
            let done = Settlement::new(job.hold, Verdict::Complete);
            store.settle(&QUEUE, &[done]).await.expect("settle works");
        }
        let stats = store.stats(&QUEUE).await.expect("stats work");
        let over = last && stats.ready + stats.scheduled + stats.running == 0;
        idle = if over { idle + 1 } else { 0 };
        if claim.jobs.is_empty() && !over {
            tokio::task::yield_now().await;
        }
    }
    (Vec::new(), ran)
}

/// Jobs replace each other while others are claimed: every one that was stored has run once or was replaced once, never both.
pub async fn a_replacement_and_a_claim_never_both_win(h: &Harness) {
    let left = Arc::new(AtomicUsize::new(3));
    let seen = h
        .on_threads(5, move |store, thread| {
            let left = Arc::clone(&left);
            async move {
                if thread < 3 { enqueue_many(store, thread, left).await } else { run_all(store, left).await }
            }
        })
        .await;
    let mut ends: BTreeMap<JobId, u32> = BTreeMap::new();
    for job in seen.iter().flat_map(|(_, ran)| ran) {
        *ends.entry(*job).or_default() += 1;
    }
    let answers: Vec<_> = seen.iter().flat_map(|(answers, _)| answers).collect();
    for replaced in answers.iter().filter_map(|(_, answer)| answer.replaced) {
        *ends.entry(replaced).or_default() += 1;
    }
    for (id, answer) in answers {
        let expected = u32::from(!answer.deduplicated);
        assert_eq!(ends.remove(id).unwrap_or(0), expected, "{id}, answered by {answer:?}");
    }
    assert!(ends.is_empty(), "jobs that nobody enqueued: {ends:?}");
}
