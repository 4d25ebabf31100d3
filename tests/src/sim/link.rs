//! What a simulated process has of the store: writes everything down, and fails when the process is cut off or dead.

use super::life::Life;
use super::tape::{Process, Tape};
use crate::chaos::{ChaosBackend, Fault, Operation};
use crate::judge::event::{Event, Sent, Word};
use async_trait::async_trait;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, Declared, Effect, Enqueued, ErrorKind, Extended,
    FireRequest, Fired, Hold, LeaseId, LeaseStatus, LimitName, LimitStep, MaintainRequest, Maintained,
    NewJob, NoteEdit, Notes, QueueName, ScheduleDef, Schedules, Settled, Settlement,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The store as one process sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) process: Process,
    pub(super) tape: Arc<Tape>,
    pub(super) life: Arc<Life>,
    pub(super) chaos: ChaosBackend,
    calls: AtomicU64,
}

/// Verdicts on their way.
struct Sending {
    call: u64,
    /// The call when the network sends the request a second time, and it is that which is answered.
    answered_as: u64,
}

impl Link {
    pub(super) fn new(process: Process, tape: Arc<Tape>, life: Arc<Life>, chaos: ChaosBackend) -> Self {
        Self { process, tape, life, chaos, calls: AtomicU64::new(0) }
    }

    /// What happens to the next call.
    fn fault(&self, operation: Operation) -> Fault {
        let fault = match self.life.is_cut() {
            Some(cut) => Fault::Hang { applied: cut.one_way },
            None => self.chaos.draw(operation),
        };
        if fault != Fault::None {
            self.tape.note(self.process, format!("{}: {fault:?}", operation.as_str()));
        }
        fault
    }

    /// Makes a call, which ends with its process.
    async fn call<T>(&self, call: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        tokio::select! {
            biased;
            () = self.life.until_dead() => {
                Err(BackendError::new("sim", "call", ErrorKind::Transient, Effect::NotApplied, "the process is dead"))
            }
            answer = call => answer,
        }
    }

    fn sending(&self, settlements: &[Settlement], fault: Fault) -> Sending {
        let verdicts: Vec<Sent> =
            settlements.iter().map(|s| Sent { held: (&s.hold).into(), word: Word::of(&s.verdict) }).collect();
        let mut ledger = self.tape.ledger();
        verdicts.iter().for_each(|v| ledger.let_go(&v.held));
        drop(ledger);
        let send = || {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            self.tape.write(self.process, Event::SettleSent { call, verdicts: verdicts.clone() });
            call
        };
        let call = send();
        Sending { call, answered_as: if fault == Fault::Duplicate { send() } else { call } }
    }

    fn settled(&self, sending: &Sending, answer: Result<&[Settled], &BackendError>) {
        let event = match answer {
            Ok(settled) => {
                let answers = settled.iter().map(|s| (*s).into()).collect();
                Event::SettleAnswered { call: sending.answered_as, answers }
            }
            Err(error) => {
                Event::SettleFailed { call: sending.call, unknown: error.effect() == Effect::Unknown }
            }
        };
        self.tape.write(self.process, event);
    }

    /// A repeat finds what was granted when the claim was first sent.
    fn first_sent(&self, lease: LeaseId) -> u64 {
        let now = self.tape.now();
        self.tape.ledger().first_stamp(lease, now)
    }

    fn claimed(&self, sent: u64, request: &ClaimRequest<'_>, claim: &Claim) {
        self.tape.ledger().claimed(request, claim);
        if !claim.jobs.is_empty() {
            self.tape.write(self.process, Event::claimed(sent, claim));
        }
    }
}

#[async_trait]
impl Backend for Link {
    fn info(&self) -> BackendInfo {
        self.chaos.info()
    }

    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.chaos.declare(queue, declared).await
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        self.chaos.adapt_limit(limit, step).await
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.chaos.close_limit(limit, period).await
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Enqueue));
        self.call(chaos.enqueue(jobs)).await
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Claim));
        self.tape.ledger().claiming(self.process, request);
        let sent = self.first_sent(request.lease);
        let claim = self.call(chaos.claim(queue, request)).await?;
        self.claimed(sent, request, &claim);
        Ok(claim)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let fault = self.fault(Operation::Settle);
        let sending = self.sending(settlements, fault);
        let chaos = self.chaos.under(fault);
        let answer = self.call(chaos.settle(queue, settlements)).await;
        self.settled(&sending, answer.as_deref());
        answer
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        let fault = self.fault(Operation::SettleAndClaim);
        let sent = self.first_sent(request.lease);
        let sending = self.sending(settlements, fault);
        self.tape.ledger().claiming(self.process, request);
        let chaos = self.chaos.under(fault);
        let answer = self.call(chaos.settle_and_claim(queue, settlements, request)).await;
        self.settled(&sending, answer.as_ref().map(|(settled, _)| settled.as_slice()));
        let (settled, claim) = answer?;
        self.claimed(sent, request, &claim);
        Ok((settled, claim))
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        let sent = Instant::now();
        let chaos = self.chaos.under(self.fault(Operation::Extend));
        let answer = self.call(chaos.extend(queue, leases, lease_for)).await?;
        let mut ledger = self.tape.ledger();
        for (lease, _) in leases.iter().zip(&answer.leases).filter(|(_, s)| **s == LeaseStatus::Held) {
            ledger.extended(*lease, sent, lease_for);
        }
        for (lease, _) in leases.iter().zip(&answer.leases).filter(|(_, s)| **s == LeaseStatus::Stale) {
            ledger.ended(*lease);
        }
        drop(ledger);
        self.tape.write(self.process, Event::extended(&answer));
        Ok(answer)
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Save));
        self.call(chaos.save(queue, hold, edits)).await
    }

    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Notes));
        self.call(chaos.notes(queue, hold)).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Maintain));
        let done = self.call(chaos.maintain(queue, request)).await?;
        if let Some(event) = Event::maintained(&done) {
            self.tape.write(self.process, event);
        }
        Ok(done)
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.call(self.chaos.under(Fault::None).put_schedules(queue, schedules)).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.call(self.chaos.under(Fault::None).schedules(queue)).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.call(self.chaos.under(Fault::None).fire(queue, request)).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        let chaos = self.chaos.under(self.fault(Operation::Wait));
        self.call(chaos.wait(queue)).await
    }
}

crate::forward_operate!(Link, chaos);
