//! A type of job: its arguments, its options and its handler.

use crate::conflict::OnConflict;
use crate::context::JobContext;
use crate::dead_letter::DeadLetter;
use crate::key::{IdempotencyKey, Key, UniqueKey};
use crate::limits::JobLimits;
use crate::new_job::{Priority, When};
use crate::outcome::JobError;
use crate::retry::Backoff;
use crate::schedule::Schedule;
use crate::{Kind, QueueName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::TypeId;
use std::future::Future;
use std::time::Duration;

/// A type of job. `#[job]` implements it; write it by hand only for what the attribute cannot say.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    note = "put `#[job]` on an async function and use the struct it makes, e.g. `SendInvoice` for `send_invoice`"
)]
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The options of this type of job.
    fn spec() -> &'static JobSpec;

    /// Runs the handler with these arguments.
    fn run(self, ctx: JobContext) -> impl Future<Output = Result<(), JobError>> + Send;

    /// "The same request", if the type has such a key.
    fn idempotency_key(&self) -> Option<IdempotencyKey> {
        None
    }

    /// "One live job at a time", if the type has such a key.
    fn unique_key(&self) -> Option<UniqueKey> {
        None
    }

    /// The line in which it waits, if its type has lines: jobs with the same key share what [`JobLimits::line`] allows,
    /// and lines take turns.
    fn line(&self) -> Option<Key> {
        None
    }
}

/// From the version that a job was stored with, and its arguments, to arguments of the current version; in one call,
/// however many versions lie between. An error sends the job to the dead-letter queue as `undecodable`.
pub type Upgrade = fn(from: u32, args: Value) -> Result<Value, String>;

/// The options of a type of job, as plain data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobSpec {
    /// The wire name.
    pub kind: Kind,
    /// Older wire names that the same handler runs.
    pub aliases: Vec<Kind>,
    /// Where it waits unless enqueued elsewhere.
    pub queue: QueueName,
    /// How soon it runs among the jobs of its queue.
    pub priority: Priority,
    /// How many attempts, at least 1; `u32::MAX` is unlimited.
    pub max_attempts: u32,
    /// When it may run unless enqueued with another time.
    pub when: When,
    /// What an enqueue does that finds a key taken.
    pub on_conflict: OnConflict,
    /// The delay before the next attempt.
    pub backoff: Backoff,
    /// How long one attempt may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// How often it may be put off by a snooze; `u32::MAX` is unlimited. The next snooze counts as a failed attempt. Counted are
    /// claims that were no attempts, so a give-back at a shutdown and a process that died count as well, and after a
    /// replay the attempts before it.
    pub snoozes: u32,
    /// How long after it is due it is worth starting; `None` is for ever.
    pub ttl: Option<Duration>,
    /// The version of the arguments. A job that was stored with a newer one is not run and not changed: it waits for a
    /// process that knows its version, looked at again after a second at first and five minutes at last. No attempt is
    /// counted.
    pub version: u32,
    /// Makes arguments of this version from those of an older one. Without it they are decoded as they are.
    pub upgrade: Option<Upgrade>,
    /// The arguments that tools, logs and error texts may show, by their names in the store; `None` shows all. What
    /// `redact = [..]` names is not among them.
    pub shown: Option<Vec<&'static str>>,
    /// What becomes of it when it is given up.
    pub dead_letter: DeadLetter,
    /// How long a completed job is kept to be looked at, with what its handler returned if that is kept; `None` does not
    /// keep it, unless its queue does.
    pub keep: Option<Duration>,
    /// When it comes by the clock, without arguments: each runtime that has the type has these schedules. Their names are unique
    /// within the queue.
    pub schedules: Vec<Schedule>,
    /// The handler runs on the blocking pool: it cannot be dropped, so it keeps its lease until it ends.
    pub blocking: bool,
    /// What it may take of what others need too.
    pub limits: JobLimits,
    /// What the handler takes from the runtime.
    pub states: Vec<StateNeed>,
}

impl JobSpec {
    /// 10 retries.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 11;
    /// 10,000 snoozes: a week of one a minute.
    pub const DEFAULT_SNOOZES: u32 = 10_000;
    /// 15 minutes.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

    /// The defaults: queue `default`, priority 5, 10 retries, exponential backoff, 15 minutes an attempt.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            aliases: Vec::new(),
            queue: QueueName::from_static("default"),
            priority: Priority::NORMAL,
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            when: When::Now,
            on_conflict: OnConflict::Existing,
            backoff: Backoff::DEFAULT,
            timeout: Some(Self::DEFAULT_TIMEOUT),
            snoozes: Self::DEFAULT_SNOOZES,
            ttl: None,
            version: 1,
            upgrade: None,
            shown: None,
            dead_letter: DeadLetter::Keep,
            keep: None,
            schedules: Vec::new(),
            blocking: false,
            limits: JobLimits::default(),
            states: Vec::new(),
        }
    }
}

/// A `State<T>` that a handler takes; `build()` fails if the runtime has none.
#[derive(Debug, Clone, Copy)]
pub struct StateNeed {
    /// The type inside `State<_>`.
    pub type_id: fn() -> TypeId,
    /// Its name, for the error text.
    pub type_name: fn() -> &'static str,
}

impl StateNeed {
    /// The need for `State<T>`.
    #[must_use]
    pub fn of<T: ?Sized + Send + Sync + 'static>() -> Self {
        Self { type_id: TypeId::of::<T>, type_name: std::any::type_name::<T> }
    }
}
