//! What the expansion of `#[job]` uses. Not for people: it changes without notice.

pub use crate::into_outcome::{AsError, AsIntoJobError, AsNothing, AsValue, ErrorOf, Outcome};
pub use crate::result::{ReturnValue, keep_result};
pub use crate::{
    Backoff, Client, DeadJob, DeadLetter, EnqueueError, Enqueued, FailureInfo, HasResult, IdempotencyKey,
    Jitter, Job, JobContext, JobError, JobSpec, Key, KeyPart, Kind, LimitName, LimitRule, Missed, NewJob,
    OnConflict, Overlap, Priority, QueueName, Rate, Schedule, State, StateNeed, UniqueKey, When,
};
pub use jiff::Timestamp;
pub use serde;
pub use serde_json;

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::resume_unwind;
use std::time::Duration;

/// Named for the error text: rustc prints it as the place that wants `Send`. The result is known to be `Send`, so one
/// mistake does not become two errors.
pub fn job_future_must_be_send<F: Future + Send>(future: F) -> impl Future<Output = F::Output> + Send {
    future
}

/// Named for the error text: what a stored argument must be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as a job argument",
    label = "not a job argument",
    note = "derive `Debug`, `Clone`, `serde::Serialize` and `serde::Deserialize` for it; if it is something that all jobs share, take `State<{Self}>`"
)]
pub trait JobArgument {}

#[diagnostic::do_not_recommend]
impl<T: fmt::Debug + Clone + serde::Serialize + serde::de::DeserializeOwned + Send + 'static> JobArgument
    for T
{
}

/// Asks whether `T` can be stored.
pub const fn argument<T: JobArgument>() {}

/// Runs a blocking handler on the thread pool for such. A panic in it goes on in the task of the job.
pub async fn run_blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(run)).await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // It never began: tokio is shutting down.
            Err(_) => Err(JobError::snooze(Duration::ZERO)),
        },
    }
}

/// The state for a handler's parameter. `build()` has checked that it is there; only unit tests can come without.
pub fn state<T: ?Sized + Send + Sync + 'static>(ctx: &JobContext) -> Result<State<T>, JobError> {
    ctx.state().ok_or_else(|| {
        let name = std::any::type_name::<T>();
        JobError::retry(format!(
            "there is no State<{name}>: give it with `.state(…)` to the runtime's builder"
        ))
    })
}

/// Named for the error text: what an `upgrade` function may fail with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an `upgrade` function",
    note = "the error is stored as text: use `String`, `serde_json::Error`, `anyhow::Error`, or anything that implements `Display`"
)]
pub trait UpgradeError {
    /// The text, with causes where the type prints them.
    fn text(&self) -> String;
}

#[diagnostic::do_not_recommend]
impl<E: fmt::Display> UpgradeError for E {
    fn text(&self) -> String {
        format!("{self:#}")
    }
}

/// What the user's `upgrade` function made of older arguments.
pub fn upgraded<E: UpgradeError>(result: Result<serde_json::Value, E>) -> Result<serde_json::Value, String> {
    result.map_err(|error| error.text())
}

/// A key made by the user's function.
pub fn key_by<'a, A, K: Into<Key>>(args: &'a A, make: impl FnOnce(&'a A) -> K) -> Key {
    make(args).into()
}

/// The name of a limit that the attribute has checked.
#[must_use]
pub fn limit_name(name: &str) -> LimitName {
    LimitName::new(name).expect("the attribute has checked it")
}

/// A schedule that `#[job]` has checked.
#[must_use]
pub fn cron(
    name: &str,
    cron: &str,
    zone: &str,
    missed: Missed,
    overlap: Overlap,
    jitter: Duration,
) -> Schedule {
    let schedule = Schedule::new(name, cron).and_then(|s| s.tz(zone)).and_then(|s| s.jitter(jitter));
    schedule.expect("checked when it was compiled").missed(missed).overlap(overlap)
}

/// The constant of a `queue = PATH`: a `&str`, checked when compiled, or a `QueueName`.
// A value with a destructor cannot be taken out of its wrapper in a constant.
#[derive(Debug)]
pub struct ConstQueue<T>(ManuallyDrop<T>);

impl<T> ConstQueue<T> {
    /// Wraps the constant.
    pub const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl ConstQueue<&'static str> {
    /// The name.
    #[must_use]
    pub const fn get(self) -> QueueName {
        QueueName::from_static(ManuallyDrop::into_inner(self.0))
    }
}

impl ConstQueue<QueueName> {
    /// The name.
    #[must_use]
    pub const fn get(self) -> QueueName {
        ManuallyDrop::into_inner(self.0)
    }
}

/// What the setter of an optional argument takes: the value, an `Option` of it, or a `&str` for a `String`.
pub trait OptionalArg<T> {
    /// The value of the field.
    fn into_option(self) -> Option<T>;
}

impl<T> OptionalArg<T> for T {
    fn into_option(self) -> Option<T> {
        Some(self)
    }
}

impl<T> OptionalArg<T> for Option<T> {
    fn into_option(self) -> Option<T> {
        self
    }
}

impl OptionalArg<String> for &str {
    fn into_option(self) -> Option<String> {
        Some(self.to_owned())
    }
}
