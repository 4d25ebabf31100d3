//! Enqueueing.

use crate::backend::Enqueued;
use crate::chance::Chance;
use crate::conflict::OnConflict;
use crate::error::{BackendError, Effect, EnqueueError};
use crate::job::Job;
use crate::key::{IdempotencyKey, Key, UniqueKey};
use crate::middleware::{Layers, Middleware};
use crate::names::QueueName;
use crate::new_job::{NewJob, Priority, When};
use crate::operate::{IntoBackend, Operate};
use crate::repeats::Repeats;
use crate::seeded_bug;
use jiff::Timestamp;
use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Enqueues jobs. Cheap to clone; a web service that only enqueues needs nothing else.
#[derive(Debug, Clone)]
pub struct Client {
    backend: Arc<dyn Operate>,
    payload_max: usize,
    layers: Layers,
    chance: Chance,
}

/// How often a call whose failure was transient is repeated before the caller hears of it.
const REPEATS: u32 = 3;
const REPEAT_BASE: Duration = Duration::from_millis(50);

impl Client {
    /// A client of this backend.
    #[must_use]
    pub fn new(backend: impl IntoBackend) -> Self {
        Self {
            backend: backend.into_backend(),
            payload_max: NewJob::PAYLOAD_BYTES_MAX,
            layers: Layers::default(),
            chance: Chance::default(),
        }
    }

    pub(crate) fn with_layers(backend: Arc<dyn Operate>, layers: Layers) -> Self {
        Self { layers, ..Self::new(backend) }
    }

    /// The same client with one more [`Middleware`], after those it has. The workers need it too if it changes payloads.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(middleware);
        self
    }

    /// The same client with another limit on the size of arguments, in bytes (256 KiB by default). What middleware
    /// makes of them may be larger.
    #[must_use]
    pub fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// The same client, its delays between repeated calls a function of this seed; for simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.chance = Chance::seeded(seed);
        self
    }

    /// The store, for looking, replaying, cancelling and pausing.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Operate> {
        &self.backend
    }

    /// Enqueues one job when awaited; options of the call come before.
    ///
    /// ```ignore
    /// client.enqueue(SendInvoice::new(42)).queue("slow").delay(Duration::from_secs(300)).await?;
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn enqueue<J: Job>(&self, job: J) -> EnqueueJob<'_> {
        EnqueueJob { client: self, job: NewJob::of(&job) }
    }

    /// Enqueues many jobs; one answer each, in order. Larger numbers than the store takes at once are split, and then
    /// each part is stored as a whole or not at all.
    ///
    /// # Errors
    /// As [`enqueue_new`](Self::enqueue_new).
    pub async fn enqueue_all<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.enqueue_new(&erased(jobs)?).await
    }

    /// Enqueues erased jobs. A transient failure is repeated a few times with the same ids, which cannot make a second
    /// job.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if any job breaks a limit, or middleware refuses it: then none is stored.
    /// [`EnqueueError::KeyTaken`] if a key is taken of a job with [`OnConflict::Error`]: none is stored.
    /// [`EnqueueError::NotApplied`] if the store could not be reached; [`EnqueueError::Unknown`] if the jobs may be
    /// stored. Where the jobs were split into parts, earlier parts are stored: repeating the call is safe.
    pub async fn enqueue_new(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, EnqueueError> {
        for job in jobs {
            job.check(self.payload_max)?;
        }
        let mut jobs = Cow::Borrowed(jobs);
        if !self.layers.is_empty() || jobs.iter().any(NewJob::has_ttl) {
            jobs.to_mut().iter_mut().try_for_each(|job| self.layers.enqueue(job))?;
        }
        let mut answers = Vec::new();
        let mut earlier_parts = false;
        for part in jobs.chunks(self.backend.info().batch_max.max(1)) {
            match self.enqueue_part(part).await {
                Ok(part) if answers.is_empty() => answers = part,
                Ok(part) => answers.extend(part),
                Err(error) => {
                    let ids = jobs.iter().map(|j| j.id);
                    if earlier_parts && error.effect() == Effect::NotApplied {
                        return Err(EnqueueError::Unknown { ids: ids.collect(), source: error });
                    }
                    return Err(EnqueueError::from_backend(error, ids));
                }
            }
            earlier_parts = true;
        }
        Ok(answers)
    }

    /// New arguments for a stored job: the limits and the middleware of an enqueue.
    pub(crate) fn prepare_again(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        job.check(self.payload_max)?;
        self.layers.enqueue(job)
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The most bytes of arguments.
    pub(crate) fn payload_limit(&self) -> usize {
        self.payload_max
    }

    /// What spreads its repeated calls.
    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    async fn enqueue_part(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        let mut repeats = Repeats::new(REPEATS, REPEAT_BASE);
        let mut unknown = None;
        loop {
            let error = match self.backend.enqueue(jobs).await {
                Err(error) => error,
                ok => return ok,
            };
            if !repeats.again(&error, &self.chance).await {
                // An earlier try may have been applied, so a later "not applied" does not settle it.
                return Err(unknown.unwrap_or(error));
            }
            if error.effect() == Effect::Unknown {
                unknown = Some(error);
            }
        }
    }
}

fn erased<J: Job>(jobs: impl IntoIterator<Item = J>) -> Result<Vec<NewJob>, EnqueueError> {
    let jobs = jobs.into_iter();
    // Collected as results, they would not tell how many they are.
    let mut erased = Vec::with_capacity(jobs.size_hint().0);
    for job in jobs {
        erased.push(NewJob::of(&job)?);
    }
    Ok(erased)
}

/// One job on its way into the store: set options, then `.await`.
#[derive(Debug)]
#[must_use = "nothing is enqueued until this is awaited"]
pub struct EnqueueJob<'a> {
    client: &'a Client,
    job: Result<NewJob, EnqueueError>,
}

impl<'a> EnqueueJob<'a> {
    fn set(mut self, f: impl FnOnce(&mut NewJob) -> Result<(), EnqueueError>) -> Self {
        if let Ok(job) = &mut self.job
            && let Err(error) = f(job)
        {
            self.job = Err(error);
        }
        self
    }

    /// Into another queue. A bad name is reported when awaited.
    pub fn queue(self, queue: impl AsRef<str>) -> Self {
        self.set(|job| {
            job.queue = QueueName::new(queue).map_err(|e| EnqueueError::rejected(e.to_string()))?;
            Ok(())
        })
    }

    /// With another priority: 0 (first) to 9 (last). A larger one is reported when awaited.
    pub fn priority(self, level: u8) -> Self {
        self.set(|job| {
            job.priority = Priority::new(level)
                .ok_or_else(|| EnqueueError::rejected(format!("priority is 0..=9, 0 first, not {level}")))?;
            Ok(())
        })
    }

    /// Not before this long after the store has it.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|job| {
            job.when = When::After(delay);
            Ok(())
        })
    }

    /// Not before this instant of the store's clock.
    pub fn at(self, at: Timestamp) -> Self {
        self.set(|job| {
            job.when = When::At(at);
            Ok(())
        })
    }

    /// With this time within which it has to start, by the store's clock, instead of the type's own. It is counted from when the
    /// store has the job, or from when it is due if it has a delay or a time. A job that is too late goes to the dead-letter
    /// queue as `expired`. An attempt that does not count (snoozed, given back) is no start. Zero is reported when awaited.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set(|job| {
            job.set_ttl(ttl);
            Ok(())
        })
    }

    /// Not after this instant of the store's clock: an attempt that runs then is asked to stop, and one that would come later
    /// does not. The job goes to the dead-letter queue as `expired`, also when it is replayed later.
    pub fn deadline(self, deadline: Timestamp) -> Self {
        self.set(|job| {
            job.set_deadline(deadline);
            Ok(())
        })
    }

    /// With this many runs after the first.
    pub fn retries(self, retries: u32) -> Self {
        self.set(|job| {
            job.max_attempts = retries.saturating_add(1);
            Ok(())
        })
    }

    /// With this idempotency key instead of the type's own.
    pub fn key(self, key: impl Into<Key>) -> Self {
        self.set(|job| {
            let scope = job.idempotency.take().map_or_else(|| job.kind.to_string(), |k| k.scope);
            let window = IdempotencyKey::DEFAULT_WINDOW;
            job.idempotency = Some(IdempotencyKey { scope, key: key.into(), window });
            Ok(())
        })
    }

    /// With this unique key instead of the type's own.
    pub fn unique(self, key: impl Into<Key>) -> Self {
        self.set(|job| {
            let scope = job.unique.take().map_or_else(|| job.kind.to_string(), |k| k.scope);
            job.unique = Some(UniqueKey { scope, key: key.into() });
            Ok(())
        })
    }

    /// With this answer to a key that is taken, instead of the type's own.
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        self.set(|job| {
            job.on_conflict = on_conflict;
            Ok(())
        })
    }

    /// Debounced: due after `wait`, put off by each later enqueue with the same unique key, but never beyond `max_wait` from the
    /// first one. See [`OnConflict::Debounce`].
    pub fn debounce(self, wait: Duration, max_wait: Duration) -> Self {
        self.set(|job| {
            job.when = When::After(wait);
            job.on_conflict = OnConflict::Debounce { max_wait };
            Ok(())
        })
    }

    /// With a header, such as a trace context.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(|job| {
            job.headers.insert(name.into(), value.into());
            Ok(())
        })
    }

    /// The job as it would be enqueued, with what the client's middleware adds, for a backend's transactional enqueue.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if an option or the arguments are bad, or middleware refuses it.
    pub fn prepare(self) -> Result<NewJob, EnqueueError> {
        let mut job = self.job?;
        job.check(self.client.payload_max)?;
        if !seeded_bug!("prepared_without_middleware") {
            self.client.layers.enqueue(&mut job)?;
        }
        Ok(job)
    }
}

impl<'a> IntoFuture for EnqueueJob<'a> {
    type Output = Result<Enqueued, EnqueueError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let job = self.job?;
            let answers = self.client.enqueue_new(std::slice::from_ref(&job)).await?;
            Ok(answers.first().copied().unwrap_or(Enqueued::stored(job.id)))
        })
    }
}
