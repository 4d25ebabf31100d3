//! A backend that writes everything down and fails where it was told to.

use super::fate::Fate;
use super::history::{History, now};
use crate::judge::event::{Event, Sent, Word};
use crate::judge::point::Point;
use async_trait::async_trait;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, Declared, Effect, Enqueued, ErrorKind, Extended,
    FireRequest, Fired, Hold, LeaseId, LeaseStatus, LimitName, LimitStep, MaintainRequest, Maintained,
    NewJob, NoteEdit, Notes, Operate, QueueName, ScheduleDef, Schedules, Settled, Settlement,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Wraps the backend of a process that is to be killed.
#[derive(Debug)]
pub struct CrashBackend {
    inner: Arc<dyn Operate>,
    history: Arc<History>,
    fate: Arc<Fate>,
    calls: AtomicU64,
    /// When a claim that has no answer yet was first sent: it may have been applied then.
    claims: Mutex<HashMap<LeaseId, u64>>,
}

impl CrashBackend {
    /// Around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Operate>, history: Arc<History>, fate: Arc<Fate>) -> Self {
        Self { inner, history, fate, calls: AtomicU64::new(0), claims: Mutex::default() }
    }

    /// Verdicts are about to be sent.
    fn sending(&self, settlements: &[Settlement]) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let verdicts =
            settlements.iter().map(|s| Sent { held: (&s.hold).into(), word: Word::of(&s.verdict) });
        self.history.write(Event::SettleSent { call, verdicts: verdicts.collect() });
        self.fate.pass(Point::BeforeSettle, Some(call));
        call
    }

    /// Verdicts were answered; true if the answer is to be lost.
    fn answered(&self, call: u64, answer: Result<&[Settled], &BackendError>) -> bool {
        match answer {
            Ok(settled) => {
                let answers = settled.iter().map(|s| (*s).into()).collect();
                self.history.write(Event::SettleAnswered { call, answers });
                self.fate.pass(Point::AfterSettle, None)
            }
            Err(error) => {
                let unknown = error.effect() == Effect::Unknown;
                self.history.write(Event::SettleFailed { call, unknown });
                false
            }
        }
    }

    /// A claim is about to be sent, for the first time or again.
    fn claiming(&self, lease: LeaseId) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).entry(lease).or_insert_with(now);
    }

    /// A claim was answered; true if the answer is to be lost.
    fn claimed(&self, lease: LeaseId, claim: &Claim) -> bool {
        let sent = self.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease);
        let sent = sent.unwrap_or_else(now);
        if claim.jobs.is_empty() {
            return false;
        }
        self.history.write(Event::claimed(sent, claim));
        self.fate.pass(Point::AfterClaim, None)
    }
}

fn lost(operation: &'static str) -> BackendError {
    BackendError::new(
        "crash",
        operation,
        ErrorKind::Transient,
        Effect::Unknown,
        "the answer was lost on purpose",
    )
}

#[async_trait]
impl Backend for CrashBackend {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.inner.declare(queue, declared).await
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        self.inner.adapt_limit(limit, step).await
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.inner.close_limit(limit, period).await
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        self.fate.pass(Point::BeforeEnqueue, None);
        let answers = self.inner.enqueue(jobs).await?;
        if self.fate.pass(Point::AfterEnqueue, None) { Err(lost("enqueue")) } else { Ok(answers) }
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        self.claiming(request.lease);
        let claim = self.inner.claim(queue, request).await?;
        if self.claimed(request.lease, &claim) { Err(lost("claim")) } else { Ok(claim) }
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let call = self.sending(settlements);
        let answer = self.inner.settle(queue, settlements).await;
        if self.answered(call, answer.as_deref()) { Err(lost("settle")) } else { answer }
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        self.claiming(request.lease);
        let call = self.sending(settlements);
        let answer = self.inner.settle_and_claim(queue, settlements, request).await;
        let settled = answer.as_ref().map(|(settled, _)| settled.as_slice());
        let settle_lost = self.answered(call, settled);
        let (settled, claim) = answer?;
        let claim_lost = self.claimed(request.lease, &claim);
        if settle_lost || claim_lost { Err(lost("settle_and_claim")) } else { Ok((settled, claim)) }
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        let answer = self.inner.extend(queue, leases, lease_for).await?;
        if !answer.leases.is_empty() {
            self.history.write(Event::extended(&answer));
        }
        Ok(answer)
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        for edit in edits {
            self.history.write(Event::Noting { held: hold.into(), name: edit.name.clone() });
        }
        self.inner.save(queue, hold, edits).await
    }

    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        self.inner.notes(queue, hold).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let done = self.inner.maintain(queue, request).await?;
        if let Some(event) = Event::maintained(&done) {
            self.history.write(event);
        }
        Ok(done)
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.inner.put_schedules(queue, schedules).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.inner.schedules(queue).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.inner.fire(queue, request).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.wait(queue).await
    }
}

crate::forward_operate!(CrashBackend, inner);
