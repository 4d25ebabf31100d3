//! The wrapper.

use super::call::{Call, ClaimJobs, Enqueue, Extend, Maintain, ReadNotes, Save, Settle, SettleAndClaim};
use super::fault::{Drawn, Fault, Faults, Operation, Tally};
use super::schedules::{Fire, PutSchedules, ReadSchedules};
use async_trait::async_trait;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, Declared, Effect, Enqueued, ErrorKind, Extended,
    FireRequest, Fired, Hold, IntoBackend, LeaseId, LeaseStatus, LimitName, LimitStep, MaintainRequest,
    Maintained, NewJob, NoteEdit, Notes, Operate, QueueName, ScheduleDef, Schedules, Settled, Settlement,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

/// A store behind a bad network; clones share both. See [the module](super).
///
/// The calls of [`Operate`] that people make pass unharmed. Dropping a call leaves it applied or not, as the contract
/// says; a request that was on its way arrives all the same.
#[derive(Debug, Clone)]
pub struct ChaosBackend {
    shared: Arc<Shared>,
    /// What happens to every call through this handle, instead of what the plan says.
    fixed: Option<Fault>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Operate>,
    faults: Faults,
    state: Mutex<State>,
    healed: Notify,
    /// A request that outlived its call has arrived.
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    plan: StdRng,
    healed: bool,
    outage_until: Option<Instant>,
    /// Requests that outlived their call and have not arrived.
    under_way: usize,
    tally: Tally,
}

impl ChaosBackend {
    /// Around `store`, with a plan that `seed` decides.
    #[must_use]
    pub fn new(store: impl IntoBackend, seed: u64, faults: Faults) -> Self {
        let state = State {
            plan: StdRng::seed_from_u64(seed),
            healed: false,
            outage_until: None,
            under_way: 0,
            tally: Tally::new(),
        };
        let shared = Shared {
            store: store.into_backend(),
            faults,
            state: Mutex::new(state),
            healed: Notify::new(),
            arrived: Notify::new(),
        };
        Self { shared: Arc::new(shared), fixed: None }
    }

    /// The store, past the network.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Operate> {
        &self.shared.store
    }

    /// A handle whose every call meets this fault, until the network heals.
    #[must_use]
    pub fn under(&self, fault: Fault) -> Self {
        Self { shared: Arc::clone(&self.shared), fixed: Some(fault) }
    }

    /// Takes what the plan has for the next call; for callers that want to know, and then call [`under`](Self::under) it.
    #[must_use]
    pub fn draw(&self, operation: Operation) -> Fault {
        let mut state = self.shared.state();
        if state.healed {
            return Fault::None;
        }
        if let Some(fault) = self.fixed {
            return fault;
        }
        let number = state.plan.random();
        let now = Instant::now();
        if state.outage_until.is_some_and(|until| now < until) {
            return Fault::Outage(Faults::heard(number));
        }
        match self.shared.faults.draw(number, operation) {
            Drawn::Fault(fault) => fault,
            Drawn::Outage(length) => {
                state.outage_until = Some(now + length);
                Fault::Outage(Faults::heard(number))
            }
        }
    }

    /// Ends all faults: calls that hang fail, late requests arrive now, and no call is harmed any more.
    pub fn heal(&self) {
        self.shared.state().healed = true;
        self.shared.healed.notify_waiters();
    }

    /// Waits until every request that outlived its call has arrived.
    pub async fn quiet(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.shared.state().under_way == 0 {
                return;
            }
            arrived.await;
        }
    }

    /// How often each fault happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.state().tally.clone()
    }

    async fn carry<C: Call>(&self, call: C) -> Result<C::Answer, BackendError> {
        let fault = self.shared.meet(self.draw(C::OPERATION));
        let store = &*self.shared.store;
        let lost = || failure(C::OPERATION, Effect::Unknown, "no answer came");
        match fault {
            Fault::None | Fault::Spurious => call.send(store).await,
            Fault::SlowRequest(time) => {
                let answer = self.post(call, time);
                answer.await.unwrap_or_else(|_| Err(lost()))
            }
            Fault::SlowAnswer(time) => {
                let answer = call.send(store).await;
                self.shared.pass(time).await;
                answer
            }
            Fault::ErrorBefore => Err(failure(C::OPERATION, Effect::NotApplied, "refused on purpose")),
            Fault::ErrorAfter => {
                call.send(store).await?;
                Err(lost())
            }
            Fault::Late(time) => {
                drop(self.post(call, time));
                Err(lost())
            }
            Fault::Duplicate => {
                call.send(store).await?;
                call.send(store).await
            }
            Fault::Hang { applied } => {
                if applied {
                    call.send(store).await?;
                }
                self.shared.until_healed().await;
                Err(lost())
            }
            Fault::Partial => {
                call.send_part(store).await?;
                Err(lost())
            }
            Fault::Contended => call.send_contended(store).await,
            Fault::Outage(effect) => Err(failure(C::OPERATION, effect, "the store is away on purpose")),
        }
    }

    /// Sends a request that arrives after `time`, whatever becomes of its caller.
    fn post<C: Call>(&self, call: C, time: Duration) -> oneshot::Receiver<Result<C::Answer, BackendError>> {
        let (answered, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        shared.state().under_way += 1;
        tokio::spawn(async move {
            shared.pass(time).await;
            // Nobody may be left to hear it.
            let _ = answered.send(call.send(&*shared.store).await);
            shared.state().under_way -= 1;
            shared.arrived.notify_waiters();
        });
        answer
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a fault that happens now; none does once the network has healed.
    fn meet(&self, fault: Fault) -> Fault {
        let mut state = self.state();
        if state.healed {
            return Fault::None;
        }
        if let Some(name) = fault.name() {
            *state.tally.entry(name).or_default() += 1;
        }
        fault
    }

    async fn until_healed(&self) {
        loop {
            let healed = self.healed.notified();
            tokio::pin!(healed);
            healed.as_mut().enable();
            if self.state().healed {
                return;
            }
            healed.await;
        }
    }

    /// This long, or until the network heals.
    async fn pass(&self, time: Duration) {
        tokio::select! {
            biased;
            () = sleep(time) => {}
            () = self.until_healed() => {}
        }
    }
}

fn failure(operation: Operation, effect: Effect, text: &str) -> BackendError {
    BackendError::new("chaos", operation.as_str(), ErrorKind::Transient, effect, text)
}

#[async_trait]
impl Backend for ChaosBackend {
    fn info(&self) -> BackendInfo {
        let mut info = self.shared.store.info();
        info.batch_max = self.shared.faults.batch_max.map_or(info.batch_max, |max| max.min(info.batch_max));
        info
    }

    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.shared.store.declare(queue, declared).await
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        self.shared.store.adapt_limit(limit, step).await
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.shared.store.close_limit(limit, period).await
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        self.carry(Enqueue(jobs.to_vec())).await
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        self.carry(ClaimJobs::new(queue, request)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        self.carry(Settle(queue.clone(), settlements.to_vec())).await
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        let settle = Settle(queue.clone(), settlements.to_vec());
        self.carry(SettleAndClaim(settle, ClaimJobs::new(queue, request))).await
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        self.carry(Extend(queue.clone(), leases.to_vec(), lease_for)).await
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        self.carry(Save(queue.clone(), *hold, edits.to_vec())).await
    }

    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        self.carry(ReadNotes(queue.clone(), *hold)).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        self.carry(Maintain(queue.clone(), request.clone())).await
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.carry(PutSchedules(queue.clone(), schedules.to_vec())).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.carry(ReadSchedules(queue.clone())).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.carry(Fire::new(queue, request)).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        let lost = |effect| Err(failure(Operation::Wait, effect, "no wake-up will come"));
        match self.shared.meet(self.draw(Operation::Wait)) {
            Fault::Spurious => Ok(()),
            Fault::ErrorBefore => lost(Effect::NotApplied),
            Fault::Outage(effect) => lost(effect),
            Fault::Hang { .. } => {
                self.shared.until_healed().await;
                lost(Effect::Unknown)
            }
            _ => self.shared.store.wait(queue).await,
        }
    }
}

crate::forward_operate!(ChaosBackend, shared.store);
