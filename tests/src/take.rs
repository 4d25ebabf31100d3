//! A claim, step by step.

use crate::{Harness, KIND, LONG, OTHER_KIND, QUEUE};
use job_core::{
    BackendError, Claim, ClaimRequest, ClaimedJob, Kind, LeaseId, QueueName, Settled, Settlement, WorkerId,
};
use std::time::Duration;

/// A claim: by default of both kinds, under a new lease that does not expire, without suspects.
#[derive(Debug, Clone)]
pub struct Take<'a> {
    harness: &'a Harness,
    queue: QueueName,
    worker: WorkerId,
    limit: u32,
    kinds: Vec<Kind>,
    lease: LeaseId,
    lease_for: Duration,
    suspect_leases: Vec<LeaseId>,
    solo: bool,
    ahead: Vec<u32>,
}

impl<'a> Take<'a> {
    pub(crate) fn new(harness: &'a Harness, limit: u32) -> Self {
        Self {
            harness,
            queue: QUEUE,
            worker: WorkerId::random(),
            limit,
            kinds: vec![KIND, OTHER_KIND],
            lease: LeaseId::random(),
            lease_for: LONG,
            suspect_leases: Vec::new(),
            solo: false,
            ahead: Vec::new(),
        }
    }

    /// From another queue.
    #[must_use]
    pub fn queue(mut self, queue: &QueueName) -> Self {
        self.queue = queue.clone();
        self
    }

    /// By this worker.
    #[must_use]
    pub fn by(mut self, worker: WorkerId) -> Self {
        self.worker = worker;
        self
    }

    /// Of these kinds only.
    #[must_use]
    pub fn kinds(mut self, kinds: &[Kind]) -> Self {
        self.kinds = kinds.to_vec();
        self
    }

    /// Under this lease.
    #[must_use]
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.lease = lease;
        self
    }

    /// For this long.
    #[must_use]
    pub fn lease_for(mut self, time: Duration) -> Self {
        self.lease_for = time;
        self
    }

    /// With leases for so many suspects.
    #[must_use]
    pub fn suspects(mut self, n: usize) -> Self {
        self.suspect_leases = (0..n).map(|_| LeaseId::random()).collect();
        self
    }

    /// With these leases for suspects.
    #[must_use]
    pub fn suspect_leases(mut self, leases: &[LeaseId]) -> Self {
        self.suspect_leases = leases.to_vec();
        self
    }

    /// With a solo suspect allowed.
    #[must_use]
    pub fn solo(mut self) -> Self {
        self.solo = true;
        self
    }

    /// With so many jobs ahead for each slot, of every kind.
    #[must_use]
    pub fn ahead(mut self, n: u32) -> Self {
        self.ahead = vec![n; self.kinds.len()];
        self
    }

    fn request(&self) -> ClaimRequest<'_> {
        ClaimRequest {
            lease: self.lease,
            worker: self.worker,
            kinds: &self.kinds,
            limit: self.limit,
            lease_for: self.lease_for,
            suspect_leases: &self.suspect_leases,
            solo: self.solo,
            ahead: &self.ahead,
        }
    }

    /// Makes the call once.
    ///
    /// # Errors
    /// What the backend answers.
    pub async fn once(&self) -> Result<Claim, BackendError> {
        self.harness.backend.claim(&self.queue, &self.request()).await
    }

    /// Claims, which must work; repeats the call while another claim is in the way.
    pub async fn claim(&self) -> Claim {
        self.harness
            .until("a claim that is not contended", || async {
                let claim = self.once().await.expect("claim works");
                (!claim.contended).then_some(claim)
            })
            .await
    }

    /// The jobs of [`claim`](Self::claim).
    pub async fn jobs(&self) -> Vec<ClaimedJob> {
        self.claim().await.jobs
    }

    /// Settles and claims in one call, which must work.
    pub async fn settling(&self, settlements: &[Settlement]) -> (Vec<Settled>, Vec<ClaimedJob>) {
        let answer = self.harness.backend.settle_and_claim(&self.queue, settlements, &self.request()).await;
        let (settled, claim) = answer.expect("settle_and_claim works");
        assert_eq!(settled.len(), settlements.len(), "C9: one answer for each verdict");
        if claim.contended {
            return (settled, self.jobs().await);
        }
        (settled, claim.jobs)
    }
}
