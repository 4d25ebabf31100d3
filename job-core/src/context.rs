//! What a handler gets besides its arguments.

use crate::attempt::{Attempt, Ending};
use crate::backend::{ClaimedJob, Hold};
use crate::error::{BackendError, Effect, ErrorKind};
use crate::limits::LimitName;
use crate::new_job::{Headers, NewJob};
use crate::notebook::Desk;
use crate::runtime::Env;
use crate::{BatchId, JobId, Kind, LeaseId, QueueName};
use jiff::Timestamp;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Something shared by all jobs of a runtime: a pool, a client, a configuration. Given once to the builder with
/// `.state(value)`, taken by a handler as `State(mailer): State<Mailer>`.
pub struct State<T: ?Sized>(pub Arc<T>);

impl<T> State<T> {
    /// For unit tests that call a handler directly.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: ?Sized> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for State<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State<{}>", std::any::type_name::<T>())
    }
}

/// The states of a runtime by type.
#[derive(Clone, Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    /// Keeps `value`; false if there was one of this type already.
    pub(crate) fn insert<T: ?Sized + Send + Sync + 'static>(&mut self, value: Arc<T>) -> bool {
        self.0.insert(TypeId::of::<T>(), Arc::new(value)).is_none()
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }

    fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<State<T>> {
        let any = self.0.get(&TypeId::of::<T>())?;
        any.downcast_ref::<Arc<T>>().map(|arc| State(Arc::clone(arc)))
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}

/// The proof of a handler's right to its job that another system can check: pass it on, and let that system refuse a
/// smaller `claims` than it has seen, and an equal one with another lease. A store that crashes may forget its last claims
/// and give their numbers again, so only the pair is unique; a number never becomes smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencingToken {
    /// How often the job has been claimed; never becomes smaller.
    pub claims: u64,
    /// The lease under which it runs.
    pub lease: LeaseId,
}

/// The attempt a handler is running: who it is, and whether it should stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    queue: QueueName,
    attempt: u32,
    max_attempts: u32,
    /// Made when it is first asked for, unless the job has one of its own.
    idempotency_key: OnceLock<String>,
    enqueued_at: Timestamp,
    headers: Headers,
    cancelled: CancellationToken,
    /// Given to this context alone; otherwise those of the runtime count.
    states: Option<Arc<States>>,
    desk: Desk,
    /// Made by whatever needs it first: most handlers need nothing of it.
    memory: OnceLock<Box<Attempt>>,
}

// One is made for every attempt, and more would cost twice as much. With the counters of its `Arc`.
const _: () = assert!(size_of::<Inner>() + 16 <= 256);

impl JobContext {
    /// Closes a limit for everybody, as when a downstream says `Retry-After`: no job under it is claimed before the time is over.
    /// Jobs that run go on; another process may start what it has claimed ahead, for 0.2 s at most. A handler mostly fails with
    /// [`JobError::retry_after`](crate::JobError::retry_after) then.
    ///
    /// ```ignore
    /// ctx.backoff_limit("stripe", Duration::from_secs(30)).await?;
    /// ```
    ///
    /// # Errors
    /// Those of the store, and a permanent one if no limit can have that name. In a unit test it does nothing.
    pub async fn backoff_limit(&self, limit: &str, period: Duration) -> Result<(), BackendError> {
        let name = LimitName::parse(limit).map_err(|error| {
            BackendError::new(
                "runtime",
                "close limit",
                ErrorKind::Permanent,
                Effect::NotApplied,
                error.to_string(),
            )
        })?;
        let Some(env) = &self.inner.desk.env else { return Ok(()) };
        env.close_limit(&name, period).await
    }

    /// The batch to which this job belongs, if it does to one.
    #[must_use]
    pub fn batch(&self) -> Option<BatchId> {
        BatchId::of_headers(self.headers())
    }

    pub(crate) fn new(
        job: &ClaimedJob,
        queue: QueueName,
        cancelled: CancellationToken,
        env: &Arc<Env>,
    ) -> Self {
        let idempotency_key = job.idempotency_key.clone().map(OnceLock::from).unwrap_or_default();
        let inner = Inner {
            kind: job.kind.clone(),
            desk: Desk { hold: job.hold, env: Some(Arc::clone(env)) },
            memory: OnceLock::new(),
            queue,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            idempotency_key,
            enqueued_at: job.enqueued_at,
            headers: job.headers.clone(),
            cancelled,
            states: None,
        };
        Self { inner: Arc::new(inner) }
    }

    /// A context for unit tests that call a handler directly: attempt 1 of 1, states as given by
    /// [`with_state`](Self::with_state). Effects and checkpoints are remembered by this context and its clones alone.
    #[must_use]
    pub fn test() -> Self {
        Self::alone(JobId::new(), Kind::from_static("test"), QueueName::from_static("test"), Headers::new())
    }

    /// Of the arguments of a schedule, which belong to no attempt.
    pub(crate) fn of_schedule(job: &NewJob) -> Self {
        Self::alone(job.id, job.kind.clone(), job.queue.clone(), job.headers.clone())
    }

    fn alone(id: JobId, kind: Kind, queue: QueueName, headers: Headers) -> Self {
        let hold = Hold { job: id, lease: LeaseId::random(), claims: 1, locator: [0; 3] };
        let inner = Inner {
            kind,
            queue,
            attempt: 1,
            max_attempts: 1,
            idempotency_key: OnceLock::new(),
            enqueued_at: Timestamp::now(),
            headers,
            cancelled: CancellationToken::new(),
            states: None,
            desk: Desk { hold, env: None },
            memory: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same context with one more state, for unit tests of handlers.
    ///
    /// ```
    /// use job_core::{JobContext, State};
    /// let ctx = JobContext::test().with_state(String::from("smtp.example.com"));
    /// let State(host) = ctx.state::<String>().expect("set above");
    /// assert_eq!(*host, "smtp.example.com");
    /// ```
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        let states = inner.desk.env.as_ref().map(|env| Arc::clone(&env.states)).unwrap_or_default();
        Arc::make_mut(inner.states.get_or_insert(states)).insert(Arc::new(value));
        self
    }

    /// The same context with one more header, for unit tests of handlers and middleware.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).headers.insert(name.into(), value.into());
        self
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    pub(crate) fn memory(&self) -> &Attempt {
        self.inner.memory.get_or_init(Box::default)
    }

    /// What this attempt leaves to do when it ends; nothing if it used none of it.
    pub(crate) fn take_ending(&self) -> Option<Ending> {
        self.inner.memory.get().map(|a| a.take_ending())
    }

    /// The identity of the job, the same in every attempt.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.inner.desk.hold.job
    }
    /// The wire name under which it was enqueued.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.inner.kind
    }
    /// The queue it was claimed from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.inner.queue
    }
    /// 1 for the first attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }
    /// The number of attempts the job may have; `u32::MAX` is unlimited.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.inner.max_attempts
    }
    /// True if a failure now sends the job to the dead-letter queue.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.inner.attempt >= self.inner.max_attempts
    }
    /// A key that is the same in every attempt, for systems that fold repeated requests: the job's own idempotency
    /// key with its kind, or its id where it has none.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        self.inner.idempotency_key.get_or_init(|| self.id().to_string())
    }
    /// When the store took the job, by the store's clock.
    #[must_use]
    pub fn enqueued_at(&self) -> Timestamp {
        self.inner.enqueued_at
    }
    /// What the job was enqueued with beside its arguments: trace context and the like.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.inner.headers
    }
    /// The proof of the right to this job, see [`FencingToken`].
    #[must_use]
    pub fn fencing_token(&self) -> FencingToken {
        let Hold { claims, lease, .. } = self.inner.desk.hold;
        FencingToken { claims, lease }
    }
    /// Cancelled when the handler should stop: the job was cancelled, its timeout or the shutdown deadline is near,
    /// or the lease was lost. The handler is dropped at its next await a little later.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.inner.cancelled
    }
    /// True once the handler should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.is_cancelled()
    }

    /// The state of type `T`. Handlers take `State<T>` as a parameter instead; `build()` has checked those.
    #[must_use]
    pub fn state<T: ?Sized + Send + Sync + 'static>(&self) -> Option<State<T>> {
        match (&self.inner.states, &self.inner.desk.env) {
            (Some(states), _) => states.get(),
            (None, Some(env)) => env.states.get(),
            (None, None) => None,
        }
    }
}
