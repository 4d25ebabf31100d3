//! Calls with everything they need, so that they can outlive their caller.

use super::fault::Operation;
use job_core::{
    BackendError, Claim, ClaimRequest, Enqueued, Extended, Hold, Kind, LeaseId, LeaseStatus, MaintainRequest,
    Maintained, NewJob, NoteEdit, Notes, Operate, QueueName, Settled, Settlement, WorkerId,
};
use std::future::Future;
use std::time::Duration;

pub(super) type Answered<T> = Result<T, BackendError>;

/// One call to a store.
pub(super) trait Call: Send + Sync + 'static {
    type Answer: Send + 'static;
    const OPERATION: Operation;

    /// The whole of it.
    fn send(&self, store: &dyn Operate) -> impl Future<Output = Answered<Self::Answer>> + Send;

    /// The first of two calls that a store may make of it.
    fn send_part(&self, _store: &dyn Operate) -> impl Future<Output = Answered<()>> + Send {
        async { Ok(()) }
    }

    /// As it is when another claim is under way.
    fn send_contended(&self, store: &dyn Operate) -> impl Future<Output = Answered<Self::Answer>> + Send {
        self.send(store)
    }
}

pub(super) struct Enqueue(pub(super) Vec<NewJob>);

impl Call for Enqueue {
    type Answer = Vec<Enqueued>;
    const OPERATION: Operation = Operation::Enqueue;

    async fn send(&self, store: &dyn Operate) -> Answered<Vec<Enqueued>> {
        store.enqueue(&self.0).await
    }
}

pub(super) struct ClaimJobs {
    queue: QueueName,
    lease: LeaseId,
    worker: WorkerId,
    kinds: Vec<Kind>,
    limit: u32,
    lease_for: Duration,
    suspect_leases: Vec<LeaseId>,
    solo: bool,
    ahead: Vec<u32>,
}

impl ClaimJobs {
    pub(super) fn new(queue: &QueueName, request: &ClaimRequest<'_>) -> Self {
        Self {
            queue: queue.clone(),
            lease: request.lease,
            worker: request.worker,
            kinds: request.kinds.to_vec(),
            limit: request.limit,
            lease_for: request.lease_for,
            suspect_leases: request.suspect_leases.to_vec(),
            solo: request.solo,
            ahead: request.ahead.to_vec(),
        }
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
}

impl Call for ClaimJobs {
    type Answer = Claim;
    const OPERATION: Operation = Operation::Claim;

    async fn send(&self, store: &dyn Operate) -> Answered<Claim> {
        store.claim(&self.queue, &self.request()).await
    }

    async fn send_contended(&self, _store: &dyn Operate) -> Answered<Claim> {
        Ok(Claim::contended())
    }
}

pub(super) struct Settle(pub(super) QueueName, pub(super) Vec<Settlement>);

impl Call for Settle {
    type Answer = Vec<Settled>;
    const OPERATION: Operation = Operation::Settle;

    async fn send(&self, store: &dyn Operate) -> Answered<Vec<Settled>> {
        store.settle(&self.0, &self.1).await
    }
}

pub(super) struct SettleAndClaim(pub(super) Settle, pub(super) ClaimJobs);

impl Call for SettleAndClaim {
    type Answer = (Vec<Settled>, Claim);
    const OPERATION: Operation = Operation::SettleAndClaim;

    async fn send(&self, store: &dyn Operate) -> Answered<(Vec<Settled>, Claim)> {
        store.settle_and_claim(&self.1.queue, &self.0.1, &self.1.request()).await
    }

    async fn send_part(&self, store: &dyn Operate) -> Answered<()> {
        self.0.send(store).await.map(drop)
    }

    async fn send_contended(&self, store: &dyn Operate) -> Answered<(Vec<Settled>, Claim)> {
        Ok((self.0.send(store).await?, Claim::contended()))
    }
}

pub(super) struct Extend(pub(super) QueueName, pub(super) Vec<LeaseId>, pub(super) Duration);

impl Call for Extend {
    type Answer = Extended;
    const OPERATION: Operation = Operation::Extend;

    async fn send(&self, store: &dyn Operate) -> Answered<Extended> {
        store.extend(&self.0, &self.1, self.2).await
    }
}

pub(super) struct Maintain(pub(super) QueueName, pub(super) MaintainRequest);

impl Call for Maintain {
    type Answer = Maintained;
    const OPERATION: Operation = Operation::Maintain;

    async fn send(&self, store: &dyn Operate) -> Answered<Maintained> {
        store.maintain(&self.0, &self.1).await
    }
}

pub(super) struct Save(pub(super) QueueName, pub(super) Hold, pub(super) Vec<NoteEdit>);

impl Call for Save {
    type Answer = LeaseStatus;
    const OPERATION: Operation = Operation::Save;

    async fn send(&self, store: &dyn Operate) -> Answered<LeaseStatus> {
        store.save(&self.0, &self.1, &self.2).await
    }
}

pub(super) struct ReadNotes(pub(super) QueueName, pub(super) Hold);

impl Call for ReadNotes {
    type Answer = Notes;
    const OPERATION: Operation = Operation::Notes;

    async fn send(&self, store: &dyn Operate) -> Answered<Notes> {
        store.notes(&self.0, &self.1).await
    }
}
