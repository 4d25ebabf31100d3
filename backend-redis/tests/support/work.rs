//! What the tests do with a backend.

use backend_redis::RedisBackend;
use job_core::{
    Backend, BackendError, ClaimRequest, ClaimedJob, JobId, Kind, LeaseId, MaintainRequest, NewJob,
    QueueName, Settled, Settlement, Verdict, WorkerId,
};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) static QUEUE: QueueName = QueueName::from_static("q");
pub(crate) const KIND: Kind = Kind::from_static("k");
/// How long anything may take that must happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A lease that does not expire during a test.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) fn job() -> NewJob {
    NewJob::new(KIND, QUEUE.clone(), "{}")
}

pub(crate) fn jobs(n: usize) -> Vec<NewJob> {
    (0..n).map(|_| job()).collect()
}

pub(crate) async fn enqueue_one(backend: &RedisBackend) -> Result<JobId, BackendError> {
    let new = job();
    backend.enqueue(std::slice::from_ref(&new)).await.map(|_| new.id)
}

pub(crate) async fn claim(backend: &RedisBackend, limit: u32) -> Result<Vec<ClaimedJob>, BackendError> {
    claim_for(backend, limit, LONG).await
}

pub(crate) async fn claim_for(
    backend: &RedisBackend,
    limit: u32,
    lease_for: Duration,
) -> Result<Vec<ClaimedJob>, BackendError> {
    claim_from(backend, &QUEUE, LeaseId::random(), limit, lease_for).await
}

/// Suspects come along, solo ones too.
pub(crate) async fn claim_from(
    backend: &RedisBackend,
    queue: &QueueName,
    lease: LeaseId,
    limit: u32,
    lease_for: Duration,
) -> Result<Vec<ClaimedJob>, BackendError> {
    let request = ClaimRequest {
        lease,
        worker: WorkerId::random(),
        kinds: &[KIND],
        limit,
        lease_for,
        suspect_leases: &[LeaseId::random(), LeaseId::random()],
        solo: true,
        ahead: &[],
    };
    Ok(backend.claim(queue, &request).await?.jobs)
}

pub(crate) async fn settle(
    backend: &RedisBackend,
    job: &ClaimedJob,
    verdict: Verdict,
) -> Result<Settled, BackendError> {
    Ok(backend.settle(&QUEUE, &[Settlement::new(job.hold, verdict)]).await?[0])
}

/// Claims and completes until nothing is ready; the ids in the order of claims.
pub(crate) async fn drain(backend: &RedisBackend, queue: &QueueName) -> Vec<JobId> {
    let mut ids = Vec::new();
    loop {
        let jobs = claim_from(backend, queue, LeaseId::random(), 1_000, LONG).await.expect("claim works");
        if jobs.is_empty() {
            return ids;
        }
        let done: Vec<_> = jobs.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
        let settled = backend.settle(queue, &done).await.expect("settle works");
        assert!(settled.iter().all(|s| *s == Settled::Applied), "{settled:?}");
        ids.extend(jobs.iter().map(|j| j.hold.job));
    }
}

/// Maintains until this many leases have been ended.
pub(crate) async fn reap(backend: &RedisBackend, leases: u64) {
    let mut ended = 0;
    until("leases end", async || {
        let done = backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
        ended += done.leases_reaped;
        ended >= leases
    })
    .await;
}

/// Asks until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn prefix_of(url: &str) -> &str {
    let from = url.split_once("prefix=").expect("the URL has a prefix").1;
    from.split('&').next().expect("something stands there")
}
