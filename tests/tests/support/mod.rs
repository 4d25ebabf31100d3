//! What the runtime tests share: a job whose handler the test writes, and a backend that fails on command.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use async_trait::async_trait;
use job_core::{
    AlertReport, Amendment, Backend, BackendError, BackendInfo, BatchId, BatchRecord, Cancelled, Claim,
    ClaimRequest, Client, Declared, Effect, Enqueued, ErrorKind, Extended, FireRequest, Fired, Gauges, Hold,
    Job, JobContext, JobError, JobId, JobRecord, JobSpec, JobState, Kind, LeaseId, LeaseStatus, LimitName,
    LimitRecord, LimitRule, LimitStep, LineRecord, ListFilter, MaintainRequest, Maintained, NewJob, NoteEdit,
    Notes, Operate, OperationEntry, OperationNote, Page, Queue, QueueName, QueueStats, RaisedAlert, Runtime,
    RuntimeBuilder, ScheduleChange, ScheduleDef, ScheduleName, Schedules, Settled, Settlement,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

pub const QUEUE: QueueName = QueueName::from_static("default");

type Handler =
    dyn Fn(u64, JobContext) -> Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>> + Send + Sync;

/// The handler that a test gives to [`Act`], as a state of the runtime.
pub struct Script(Box<Handler>);

impl Script {
    pub fn new<F>(handler: impl Fn(u64, JobContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        Self(Box::new(move |n, ctx| Box::pin(handler(n, ctx))))
    }
}

/// A job that does what the test says; at most 3 attempts, 30 s each, 1 s apart.
#[derive(Debug, Serialize, Deserialize)]
pub struct Act {
    pub n: u64,
}

impl Job for Act {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("act"));
            spec.max_attempts = 3;
            spec.timeout = Some(Duration::from_secs(30));
            spec.backoff = job_core::Backoff::Fixed(Duration::from_secs(1));
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        let script = ctx.state::<Script>().expect("the test gives one");
        (script.0.0)(self.n, ctx.clone()).await
    }
}

pub fn runtime(backend: Arc<dyn Operate>, script: Script) -> RuntimeBuilder {
    Runtime::builder(backend).job::<Act>().state(script).default_queue(Queue::concurrency(4))
}

/// Everything that handlers saw, in order.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, line: impl Into<String>) {
        self.0.lock().expect("no test panics here").push(line.into());
    }
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no test panics here").clone()
    }
    pub fn count(&self, what: &str) -> usize {
        self.lines().iter().filter(|l| l.starts_with(what)).count()
    }
}

/// Waits until `done`; fails after ten minutes of (usually paused) time.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the queue holds no job that is not dead.
pub async fn until_drained(client: &Client) {
    until_drained_of(client, &QUEUE).await;
}

pub async fn until_drained_of(client: &Client, queue: &QueueName) {
    until("the queue is empty", async || {
        let s = client.backend().stats(queue).await.expect("stats");
        s.ready + s.running + s.scheduled + s.retrying == 0
    })
    .await;
}

pub async fn dead(client: &Client) -> Vec<JobRecord> {
    dead_of(client, &QUEUE).await
}

pub async fn dead_of(client: &Client, queue: &QueueName) -> Vec<JobRecord> {
    client.backend().list(&ListFilter::new(queue.clone(), JobState::Dead)).await.expect("list").jobs
}

/// What a call to a [`Faulty`] backend does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Panic,
    /// Fails; nothing is applied.
    NotApplied(ErrorKind),
    /// Is applied, and the answer is lost.
    AnswerLost,
    /// Is applied at once, and answered after this time.
    Late(Duration),
    Hang,
}

type Plan = dyn Fn(&'static str) -> Fault + Send + Sync;

/// A backend with faults before or after each operation, as the test's plan says.
pub struct Faulty {
    inner: Arc<dyn Operate>,
    plan: Box<Plan>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    pub fn over(
        inner: Arc<dyn Operate>,
        plan: impl Fn(&'static str) -> Fault + Send + Sync + 'static,
    ) -> Arc<dyn Operate> {
        Arc::new(Self { inner, plan: Box::new(plan) })
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let lost = |kind, effect| BackendError::new("faulty", operation, kind, effect, "injected");
        match (self.plan)(operation) {
            Fault::None => work.await,
            Fault::Panic => panic!("injected into {operation}"),
            Fault::NotApplied(kind) => Err(lost(kind, Effect::NotApplied)),
            Fault::AnswerLost => {
                let _ = work.await;
                Err(lost(ErrorKind::Transient, Effect::Unknown))
            }
            Fault::Late(after) => {
                let answer = work.await;
                tokio::time::sleep(after).await;
                answer
            }
            Fault::Hang => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Backend for Faulty {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }
    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.call("declare", self.inner.declare(queue, declared)).await
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        self.call("adapt_limit", self.inner.adapt_limit(limit, step)).await
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.call("close_limit", self.inner.close_limit(limit, period)).await
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        self.call("enqueue", self.inner.enqueue(jobs)).await
    }
    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        self.call("claim", self.inner.claim(queue, request)).await
    }
    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        self.call("settle", self.inner.settle(queue, settlements)).await
    }
    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        self.call("settle", self.inner.settle_and_claim(queue, settlements, request)).await
    }
    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        self.call("extend", self.inner.extend(queue, leases, lease_for)).await
    }
    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        self.call("save", self.inner.save(queue, hold, edits)).await
    }
    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        self.call("notes", self.inner.notes(queue, hold)).await
    }
    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        self.call("maintain", self.inner.maintain(queue, request)).await
    }
    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.call("put_schedules", self.inner.put_schedules(queue, schedules)).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.call("schedules", self.inner.schedules(queue)).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.call("fire", self.inner.fire(queue, request)).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.call("wait", self.inner.wait(queue)).await
    }
}

/// Faults in what changes something; looking always works.,
#[async_trait]
impl Operate for Faulty {
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        self.call("get", self.inner.get(id)).await
    }
    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError> {
        self.inner.list(filter).await
    }
    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        self.call("replay", self.inner.replay(ids)).await
    }
    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        self.call("amend", self.inner.amend(id, amendment)).await
    }
    async fn run_now(&self, id: JobId) -> Result<bool, BackendError> {
        self.call("run_now", self.inner.run_now(id)).await
    }
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        self.inner.batch(id).await
    }
    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        self.call("discard", self.inner.discard(ids)).await
    }
    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError> {
        self.inner.cancel(id).await
    }
    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.pause(queue).await
    }
    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.resume(queue).await
    }
    async fn set_kind_paused(
        &self,
        queue: &QueueName,
        kind: &Kind,
        paused: bool,
    ) -> Result<(), BackendError> {
        self.inner.set_kind_paused(queue, kind, paused).await
    }
    async fn set_limit(&self, limit: &LimitName, rule: Option<LimitRule>) -> Result<(), BackendError> {
        self.inner.set_limit(limit, rule).await
    }
    async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError> {
        self.inner.open_limit(limit).await
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        self.inner.limits().await
    }
    async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        self.inner.set_weight(queue, kind, key, weight).await
    }
    async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        self.inner.lines(queue, after, limit).await
    }
    async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        self.call("change_schedule", self.inner.change_schedule(queue, name, change)).await
    }
    async fn note_operation(&self, queue: &QueueName, note: &OperationNote) -> Result<(), BackendError> {
        self.call("note_operation", self.inner.note_operation(queue, note)).await
    }
    async fn operations(&self, queue: &QueueName, limit: u32) -> Result<Vec<OperationEntry>, BackendError> {
        self.inner.operations(queue, limit).await
    }
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BackendError> {
        self.inner.stats(queue).await
    }
    async fn gauges(&self, queue: &QueueName, count_to: u32) -> Result<Gauges, BackendError> {
        self.call("gauges", self.inner.gauges(queue, count_to)).await
    }
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        self.call("queues", self.inner.queues()).await
    }
    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        self.call("report_alerts", self.inner.report_alerts(report)).await
    }
    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        self.inner.alerts().await
    }
}
