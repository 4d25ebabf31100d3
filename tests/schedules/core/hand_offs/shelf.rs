//! A store that only counts.

use crate::amendment::Amendment;
use crate::backend::{
    Backend, BackendInfo, Claim, ClaimRequest, ClaimedJob, DurabilityClass, Enqueued, Extended, Hold,
    LeaseStatus, MaintainRequest, Maintained, Suspicion,
};
use crate::error::{BackendError, Effect, ErrorKind};
use crate::gauges::Gauges;
use crate::limits::{Declared, LimitName, LimitRecord, LimitRule, LimitStep, LineRecord};
use crate::listing::{ListFilter, Page};
use crate::note::{NoteEdit, Notes};
use crate::operate::{Cancelled, JobRecord, Operate, QueueStats};
use crate::verdict::{Settled, Settlement, Verdict};
use crate::{Headers, JobId, Kind, LeaseId, NewJob, Priority, QueueName};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Debug, Default)]
struct Counts {
    ready: usize,
    claimed: usize,
    settled: usize,
    completed: usize,
    fails_after: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    counts: Mutex<Counts>,
    changed: Condvar,
}

impl Shelf {
    /// With so many jobs.
    pub(super) fn with(ready: usize) -> Self {
        let shelf = Self::default();
        shelf.counts().ready = ready;
        shelf
    }

    /// Claims fail once so many jobs are claimed.
    pub(super) fn failing_after(self, jobs: usize) -> Self {
        self.counts().fails_after = Some(jobs);
        self
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nobody panics")
    }

    pub(super) fn add(&self, jobs: usize) {
        self.counts().ready += jobs;
    }

    pub(super) fn claimed(&self) -> usize {
        self.counts().claimed
    }

    pub(super) fn settled(&self) -> usize {
        self.counts().settled
    }

    pub(super) fn wait_until_settled(&self, jobs: usize) {
        let mut counts = self.counts();
        while counts.completed < jobs {
            counts = self.changed.wait(counts).expect("nobody panics");
        }
    }

    fn settle_all(&self, settlements: &[Settlement]) -> Vec<Settled> {
        let mut counts = self.counts();
        counts.settled += settlements.len();
        counts.completed += settlements.iter().filter(|one| one.verdict == Verdict::Complete).count();
        self.changed.notify_all();
        vec![Settled::Applied; settlements.len()]
    }
}

fn job(lease: LeaseId) -> ClaimedJob {
    ClaimedJob {
        hold: Hold { job: JobId::new(), lease, claims: 1, locator: [0; 3] },
        kind: Kind::from_static("quick"),
        priority: Priority::NORMAL,
        attempt: 1,
        max_attempts: 3,
        suspicion: Suspicion::None,
        payload: Bytes::from_static(b"{}"),
        version: 1,
        headers: Headers::new(),
        idempotency_key: None,
        enqueued_at: Timestamp::UNIX_EPOCH,
    }
}

#[async_trait]
impl Backend for Shelf {
    fn info(&self) -> BackendInfo {
        BackendInfo::new("shelf", DurabilityClass::Volatile, 100)
    }

    async fn declare(&self, _: &QueueName, _: &Declared) -> Result<(), BackendError> {
        Ok(())
    }

    async fn adapt_limit(&self, _: &LimitName, _: LimitStep) -> Result<Option<u32>, BackendError> {
        unreachable!("nobody limits")
    }

    async fn close_limit(&self, _: &LimitName, _: Duration) -> Result<(), BackendError> {
        unreachable!("nobody limits")
    }

    async fn claim(&self, _: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        let mut counts = self.counts();
        if counts.fails_after.is_some_and(|jobs| counts.claimed >= jobs) {
            return Err(BackendError::new(
                "shelf",
                "claim",
                ErrorKind::Transient,
                Effect::NotApplied,
                "as planned",
            ));
        }
        let taken = counts.ready.min(request.limit as usize);
        counts.ready -= taken;
        counts.claimed += taken;
        Ok(Claim::new((0..taken).map(|_| job(request.lease)).collect()))
    }

    async fn settle(&self, _: &QueueName, settlements: &[Settlement]) -> Result<Vec<Settled>, BackendError> {
        Ok(self.settle_all(settlements))
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        let claim = self.claim(queue, request).await?;
        Ok((self.settle_all(settlements), claim))
    }

    async fn enqueue(&self, _: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        unreachable!("nobody enqueues")
    }

    async fn extend(&self, _: &QueueName, _: &[LeaseId], _: Duration) -> Result<Extended, BackendError> {
        unreachable!("no lease is extended")
    }

    async fn save(&self, _: &QueueName, _: &Hold, _: &[NoteEdit]) -> Result<LeaseStatus, BackendError> {
        unreachable!("nobody takes notes")
    }

    async fn notes(&self, _: &QueueName, _: &Hold) -> Result<Notes, BackendError> {
        unreachable!("nobody takes notes")
    }

    async fn maintain(&self, _: &QueueName, _: &MaintainRequest) -> Result<Maintained, BackendError> {
        unreachable!("nobody maintains")
    }

    async fn put_schedules(&self, _: &QueueName, _: &[crate::ScheduleDef]) -> Result<(), BackendError> {
        unreachable!("nobody schedules")
    }

    async fn schedules(&self, _: &QueueName) -> Result<crate::Schedules, BackendError> {
        unreachable!("nobody schedules")
    }

    async fn fire(&self, _: &QueueName, _: &crate::FireRequest<'_>) -> Result<crate::Fired, BackendError> {
        unreachable!("nobody schedules")
    }

    async fn wait(&self, _: &QueueName) -> Result<(), BackendError> {
        unreachable!("nobody waits")
    }
}

#[async_trait]
impl Operate for Shelf {
    async fn get(&self, _: JobId) -> Result<Option<JobRecord>, BackendError> {
        unreachable!("nobody looks")
    }

    async fn list(&self, _: &ListFilter) -> Result<Page, BackendError> {
        unreachable!("nobody looks")
    }

    async fn replay(&self, _: &[JobId]) -> Result<Vec<bool>, BackendError> {
        unreachable!("nobody operates")
    }

    async fn amend(&self, _: JobId, _: &Amendment) -> Result<bool, BackendError> {
        unreachable!("nobody operates")
    }

    async fn run_now(&self, _: JobId) -> Result<bool, BackendError> {
        unreachable!("nobody operates")
    }

    async fn batch(&self, _: crate::BatchId) -> Result<Option<crate::BatchRecord>, BackendError> {
        unreachable!("nobody operates")
    }

    async fn discard(&self, _: &[JobId]) -> Result<Vec<bool>, BackendError> {
        unreachable!("nobody operates")
    }

    async fn cancel(&self, _: JobId) -> Result<Cancelled, BackendError> {
        unreachable!("nobody operates")
    }

    async fn pause(&self, _: &QueueName) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }

    async fn resume(&self, _: &QueueName) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }

    async fn set_kind_paused(&self, _: &QueueName, _: &Kind, _: bool) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }

    async fn set_limit(&self, _: &LimitName, _: Option<LimitRule>) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }
    async fn open_limit(&self, _: &LimitName) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        unreachable!("nobody looks")
    }
    async fn set_weight(&self, _: &QueueName, _: &Kind, _: &str, _: u32) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }
    async fn lines(
        &self,
        _: &QueueName,
        _: Option<(&Kind, &str)>,
        _: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        unreachable!("nobody looks")
    }
    async fn change_schedule(
        &self,
        _: &QueueName,
        _: &crate::ScheduleName,
        _: crate::ScheduleChange,
    ) -> Result<bool, BackendError> {
        unreachable!("nobody schedules")
    }

    async fn note_operation(&self, _: &QueueName, _: &crate::OperationNote) -> Result<(), BackendError> {
        unreachable!("nobody replays")
    }

    async fn operations(&self, _: &QueueName, _: u32) -> Result<Vec<crate::OperationEntry>, BackendError> {
        unreachable!("nobody looks")
    }

    async fn stats(&self, _: &QueueName) -> Result<QueueStats, BackendError> {
        unreachable!("nobody looks")
    }

    async fn gauges(&self, _: &QueueName, _: u32) -> Result<Gauges, BackendError> {
        unreachable!("nobody looks")
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        unreachable!("nobody looks")
    }

    async fn report_alerts(&self, _: &crate::AlertReport) -> Result<(), BackendError> {
        unreachable!("nobody operates")
    }

    async fn alerts(&self) -> Result<Vec<crate::RaisedAlert>, BackendError> {
        unreachable!("nobody looks")
    }
}
