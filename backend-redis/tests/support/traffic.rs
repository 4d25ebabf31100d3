//! Producers and workers who repeat what failed with the same ids, as a client and a runtime do, and who count.

use super::work::{KIND, PATIENCE};
use backend_redis::RedisBackend;
use job_core::{
    Backend, BackendError, ClaimRequest, ClaimedJob, Effect, ErrorReport, IdempotencyKey, JobId, LeaseId,
    MaintainRequest, NewJob, Operate, QueueName, Settled, Settlement, UniqueKey, Verdict, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Jobs of some queues on their way.
#[derive(Debug)]
pub(crate) struct Traffic {
    backend: RedisBackend,
    queues: Vec<QueueName>,
    pub(crate) lease_for: Duration,
    seen: Mutex<Seen>,
    producing: AtomicUsize,
}

/// What has come of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Acknowledged.
    pub(crate) enqueued: BTreeSet<JobId>,
    /// How often each was completed.
    pub(crate) completed: BTreeMap<JobId, u32>,
    /// The number of the last claim of each.
    claims: BTreeMap<JobId, u64>,
    /// Jobs that came with another number than the next.
    pub(crate) miscounted: Vec<(JobId, u64, u64)>,
    pub(crate) stale: usize,
    /// Calls that had to be repeated, and those of them of unknown outcome.
    pub(crate) repeated: usize,
    pub(crate) unknown: usize,
}

impl Seen {
    /// Every acknowledged job was completed, once, and nothing was done twice.
    pub(crate) fn assert_exact(&self) {
        assert_eq!(self.miscounted, [], "claimed twice, or not at all");
        assert_eq!(self.stale, 0, "every verdict was in time");
        let twice: Vec<_> = self.completed.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "completed twice: {twice:?}");
        let completed: BTreeSet<_> = self.completed.keys().copied().collect();
        let lost: Vec<_> = self.enqueued.difference(&completed).collect();
        assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), self.enqueued.len());
        assert_eq!(completed.len(), self.enqueued.len(), "completed without being enqueued");
    }
}

impl Traffic {
    pub(crate) fn new(backend: RedisBackend, queues: &[QueueName], lease_for: Duration) -> Self {
        let (seen, producing) = (Mutex::default(), AtomicUsize::new(0));
        Self { backend, queues: queues.to_vec(), lease_for, seen, producing }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics with it")
    }

    /// This many batches from each of two producers; two workers until nothing is left.
    pub(crate) async fn run(&self, batches: usize) -> Seen {
        self.producing.store(2, Ordering::SeqCst);
        tokio::join!(self.produce(batches), self.produce(batches), self.work(), self.work());
        std::mem::take(&mut *self.seen())
    }

    /// Until it works; every error on the way says that it is worth trying.
    async fn again<T>(&self, mut call: impl AsyncFnMut() -> Result<T, BackendError>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match call().await {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            assert!(error.is_transient(), "{error}");
            assert!(Instant::now() < deadline, "it does not get better: {error}");
            {
                let mut seen = self.seen();
                seen.repeated += 1;
                seen.unknown += usize::from(error.effect() == Effect::Unknown);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn produce(&self, batches: usize) {
        for number in 0..batches {
            let queue = &self.queues[number % self.queues.len()];
            let mut batch: Vec<_> =
                (0..=number % 4).map(|_| NewJob::new(KIND, queue.clone(), "{}")).collect();
            if number % 5 == 0 {
                let (scope, key) = ("t".to_owned(), batch[0].id.to_string());
                let window = Duration::from_secs(600);
                batch[0].idempotency =
                    Some(IdempotencyKey { scope: scope.clone(), key: key.as_str().into(), window });
                batch[0].unique = Some(UniqueKey { scope, key: key.as_str().into() });
            }
            let answers = self.again(async || self.backend.enqueue(&batch).await).await;
            let mut seen = self.seen();
            for (answer, job) in answers.iter().zip(&batch) {
                assert_eq!(
                    (answer.id, answer.deduplicated),
                    (job.id, false),
                    "a repetition is not a second job"
                );
                seen.enqueued.insert(job.id);
            }
        }
        self.producing.fetch_sub(1, Ordering::SeqCst);
    }

    async fn work(&self) {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let producing = self.producing.load(Ordering::SeqCst) > 0;
            let mut some = false;
            for queue in &self.queues {
                some |= self.work_once(queue).await;
            }
            if !some && !producing && self.is_over().await {
                return;
            }
            assert!(Instant::now() < deadline, "there is no end to it");
        }
    }

    async fn is_over(&self) -> bool {
        for queue in &self.queues {
            self.again(async || self.backend.maintain(queue, &MaintainRequest::default()).await).await;
            let stats = self.again(async || self.backend.stats(queue).await).await;
            if stats.ready + stats.running + stats.scheduled + stats.retrying > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                return false;
            }
        }
        true
    }

    async fn work_once(&self, queue: &QueueName) -> bool {
        let suspects = [LeaseId::random()];
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker: WorkerId::random(),
            kinds: &[KIND],
            limit: 5,
            lease_for: self.lease_for,
            suspect_leases: &suspects,
            solo: true,
            ahead: &[],
        };
        let claimed = self.again(async || Ok(self.backend.claim(queue, &request).await?.jobs)).await;
        self.note(&claimed);
        if claimed.is_empty() {
            return false;
        }
        let settlements: Vec<_> = claimed.iter().map(|c| Settlement::new(c.hold, verdict(c))).collect();
        let settled = self.again(async || self.backend.settle(queue, &settlements).await).await;
        let mut seen = self.seen();
        for (settlement, answer) in settlements.iter().zip(settled) {
            if answer == Settled::Stale {
                seen.stale += 1;
            } else if settlement.verdict == Verdict::Complete {
                *seen.completed.entry(settlement.hold.job).or_default() += 1;
            }
        }
        true
    }

    fn note(&self, claimed: &[ClaimedJob]) {
        let mut seen = self.seen();
        for hold in claimed.iter().map(|c| c.hold) {
            let before = seen.claims.insert(hold.job, hold.claims).unwrap_or(0);
            if hold.claims != before + 1 {
                seen.miscounted.push((hold.job, before, hold.claims));
            }
        }
    }
}

/// Some come back once.
fn verdict(claimed: &ClaimedJob) -> Verdict {
    if claimed.hold.claims > 1 {
        return Verdict::Complete;
    }
    match claimed.hold.job.as_uuid().as_bytes()[15] % 6 {
        0 => Verdict::Release,
        1 => Verdict::Retry { after: Duration::ZERO, error: ErrorReport::new("once more") },
        2 => Verdict::Snooze { delay: Duration::from_millis(1) },
        _ => Verdict::Complete,
    }
}
