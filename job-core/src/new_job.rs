//! What is enqueued, with its type erased.

use crate::batch::BatchEvent;
use crate::conflict::OnConflict;
use crate::error::EnqueueError;
use crate::job::{Job, JobSpec};
use crate::key::{IdempotencyKey, KEY_BYTES_MAX, UniqueKey};
use crate::middleware::Layers;
use crate::{BatchId, JobId, Kind, QueueName};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon a job runs among those of its queue: 0 first, 9 last, 5 unless set otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// 2.
    pub const HIGH: Self = Self(2);
    /// 5, the default.
    pub const NORMAL: Self = Self(5);
    /// 8.
    pub const LOW: Self = Self(8);

    /// A priority of 0 (first) to 9 (last), or `None`.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level <= 9 { Some(Self(level)) } else { None }
    }

    /// 0 to 9.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// When a job may run. The store's clock decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// This long after the store has it.
    After(Duration),
    /// Not before this instant of the store's clock.
    At(Timestamp),
    /// When this has happened to a batch; see [`Client::batch`](crate::Client::batch). Until then the job is scheduled for a
    /// time that does not come.
    Batch {
        /// The batch.
        batch: BatchId,
        /// How many jobs it has.
        members: u32,
        /// What to wait for.
        event: BatchEvent,
    },
}

/// Small text that travels with a job, such as a trace context.
pub type Headers = BTreeMap<String, String>;

/// A job to enqueue: its arguments as bytes, and what the store needs to know.
///
/// Made by [`NewJob::of`] from a typed job, or by [`NewJob::new`] for tools that know only the wire format. The id is
/// made here, so enqueueing the same value again after an unknown outcome cannot make a second job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewJob {
    /// The identity, made by the client.
    pub id: JobId,
    /// The wire name.
    pub kind: Kind,
    /// Where it waits.
    pub queue: QueueName,
    /// How soon it runs among the jobs of its queue.
    pub priority: Priority,
    /// How many attempts may be started and fail, at least 1; `u32::MAX` is unlimited.
    pub max_attempts: u32,
    /// The arguments: JSON unless a tool says otherwise. Stored and returned byte for byte.
    pub payload: Bytes,
    /// The version of the arguments.
    pub version: u32,
    /// When it may run.
    pub when: When,
    /// "The same request", remembered after completion.
    pub idempotency: Option<IdempotencyKey>,
    /// "One live job at a time".
    pub unique: Option<UniqueKey>,
    /// What happens if one of these keys is taken.
    pub on_conflict: OnConflict,
    /// Trace context and the like.
    pub headers: Headers,
}

impl NewJob {
    /// The largest payload unless a client sets another: 256 KiB.
    pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
    /// The most bytes of headers, keys and values together: 8 KiB.
    pub const HEADER_BYTES_MAX: usize = 8 * 1024;
    /// The header of a job that another one has enqueued: its id.
    pub const PARENT_HEADER: &str = "steadfast-parent";

    /// A job of this kind with these argument bytes; everything else has its default.
    #[must_use]
    #[inline]
    pub fn new(kind: Kind, queue: QueueName, payload: impl Into<Bytes>) -> Self {
        Self {
            id: JobId::new(),
            kind,
            queue,
            priority: Priority::NORMAL,
            max_attempts: JobSpec::DEFAULT_MAX_ATTEMPTS,
            payload: payload.into(),
            version: 1,
            when: When::Now,
            idempotency: None,
            unique: None,
            on_conflict: OnConflict::Existing,
            headers: Headers::new(),
        }
    }

    /// The erased form of a typed job, with the options of its `#[job]` attribute.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if the arguments cannot be written as JSON.
    pub fn of<J: Job>(job: &J) -> Result<Self, EnqueueError> {
        let spec = J::spec();
        let payload = serde_json::to_vec(job).map_err(|e| {
            // The text may quote them.
            let why = if spec.shown.is_none() { format!(": {e}") } else { String::new() };
            EnqueueError::rejected(format!("the arguments of {} cannot be written as JSON{why}", spec.kind))
        })?;
        let mut new = Self {
            priority: spec.priority,
            max_attempts: spec.max_attempts,
            version: spec.version,
            when: spec.when,
            on_conflict: spec.on_conflict,
            idempotency: job.idempotency_key(),
            unique: job.unique_key(),
            ..Self::new(spec.kind.clone(), spec.queue.clone(), payload)
        };
        if let Some(ttl) = spec.ttl {
            new.set_ttl(ttl);
        }
        if let Some(line) = job.line() {
            new.set_line(line.as_str());
        }
        Ok(new)
    }

    /// Checks every limit; `payload_max` is in bytes.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] that says which limit, and what to do instead.
    pub fn check(&self, payload_max: usize) -> Result<(), EnqueueError> {
        let reject = |text: String| Err(EnqueueError::rejected(text));
        if self.payload.len() > payload_max {
            return reject(format!(
                "the arguments of {} are {} bytes, the limit is {payload_max}: store the data elsewhere and enqueue its id",
                self.kind,
                self.payload.len(),
            ));
        }
        if self.max_attempts == 0 {
            return reject(format!("{} has max_attempts 0: a job needs at least 1", self.kind));
        }
        self.check_conflict()?;
        if let Some(problem) = self.lifetime_problem() {
            return reject(problem);
        }
        let headers: usize = self.headers.iter().map(|(k, v)| k.len() + v.len()).sum();
        if headers > Self::HEADER_BYTES_MAX {
            return reject(format!(
                "the headers of {} are {headers} bytes, the limit is {}",
                self.kind,
                Self::HEADER_BYTES_MAX
            ));
        }
        if self.headers.iter().any(|(k, v)| k.contains('\0') || v.contains('\0')) {
            return reject(format!("the headers of {} contain a NUL byte", self.kind));
        }
        if let Some(line) = self.line().filter(|line| line.len() > KEY_BYTES_MAX) {
            return reject(format!(
                "the key of the line of {} is {} bytes, the limit is {KEY_BYTES_MAX}: use an id or a hash",
                self.kind,
                line.len(),
            ));
        }
        let keys = [
            self.idempotency.as_ref().map(|k| ("idempotency", &k.scope, &k.key)),
            self.unique.as_ref().map(|k| ("unique", &k.scope, &k.key)),
        ];
        for (what, scope, key) in keys.into_iter().flatten() {
            let bytes = scope.len() + key.as_str().len();
            if bytes > KEY_BYTES_MAX {
                return reject(format!(
                    "the {what} key of {} is {bytes} bytes with its scope, the limit is {KEY_BYTES_MAX}: use an id or a hash",
                    self.kind
                ));
            }
        }
        Ok(())
    }

    /// Makes it a job that comes with the verdict of another one.
    pub(crate) fn follow(&mut self, parent: JobId, layers: Option<&Layers>) -> Result<(), EnqueueError> {
        self.headers.entry(Self::PARENT_HEADER.to_owned()).or_insert_with(|| parent.to_string());
        self.check(Self::PAYLOAD_BYTES_MAX)?;
        self.answer_conflicts();
        layers.map_or(Ok(()), |layers| layers.enqueue(self))
    }

    /// Of a job that comes with a verdict or a tick: if a key is taken there is nobody to tell, so the holder answers.
    pub(crate) fn answer_conflicts(&mut self) {
        if self.on_conflict == OnConflict::Error {
            self.on_conflict = OnConflict::Existing;
        }
    }

    /// Checks that what is to happen if a key is taken can happen.
    fn check_conflict(&self) -> Result<(), EnqueueError> {
        let reject = |text: String| Err(EnqueueError::rejected(text));
        if matches!(self.when, When::Batch { .. }) && (self.idempotency.is_some() || self.unique.is_some()) {
            let text = "waits for a batch and has a key: only the batch says how often it runs";
            return reject(format!("{} {text}", self.kind));
        }
        if self.on_conflict.replaces() && self.unique.is_none() {
            let text = "is to replace another job and has no unique key: give it one, `unique = ..`";
            return reject(format!("{} {text}", self.kind));
        }
        if self.on_conflict == OnConflict::Error && self.unique.is_none() && self.idempotency.is_none() {
            return reject(format!("{} is to fail if a key is taken and has none", self.kind));
        }
        match (self.on_conflict.max_wait(), self.when) {
            (Some(max_wait), When::After(wait)) if wait > max_wait => reject(format!(
                "{} waits {wait:?} after each enqueue, but at most {max_wait:?} in all: make `max_wait` the longer one",
                self.kind
            )),
            _ => Ok(()),
        }
    }
}
