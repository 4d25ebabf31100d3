//! How a handler says what became of a job.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

type Source = Box<dyn StdError + Send + Sync>;

/// What most handlers return: `?` on any error retries, [`.permanent()`](ResultExt::permanent) stops.
pub type JobResult<T = ()> = Result<T, JobError>;

/// Why a handler did not complete its job, and what should happen next.
pub struct JobError {
    action: Action,
    source: Source,
}

/// What should happen to a job whose handler returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Run again after the job's backoff, if attempts remain.
    Retry,
    /// Run again after this long, if attempts remain.
    RetryAfter(Duration),
    /// Never run again: into the dead-letter queue.
    Permanent,
    /// The handler stopped because it was asked to: the job is cancelled.
    Cancelled,
    /// Not an error: run again after this long, and do not count the attempt.
    Snooze(Duration),
    /// Nobody knows whether an effect has happened that must not happen twice: into the dead-letter queue.
    InDoubt,
}

impl JobError {
    /// Run again after the job's backoff.
    pub fn retry(error: impl Into<Source>) -> Self {
        Self { action: Action::Retry, source: error.into() }
    }

    /// Run again after `delay`. Counts as a failure and obeys the job's retries.
    pub fn retry_after(error: impl Into<Source>, delay: Duration) -> Self {
        Self { action: Action::RetryAfter(delay), source: error.into() }
    }

    /// Never run again: into the dead-letter queue at once.
    pub fn permanent(error: impl Into<Source>) -> Self {
        Self { action: Action::Permanent, source: error.into() }
    }

    /// The handler noticed that its job was cancelled and stopped.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { action: Action::Cancelled, source: "cancelled".into() }
    }

    /// Not now: run again after `delay` without counting an attempt; as often as the job's `snoozes` allow, and then it counts as
    /// a failure.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self { action: Action::Snooze(delay), source: "snoozed".into() }
    }

    pub(crate) fn in_doubt(text: String) -> Self {
        Self { action: Action::InDoubt, source: text.into() }
    }

    pub(crate) fn lease_lost() -> Self {
        Self { action: Action::Retry, source: Box::new(LeaseLost) }
    }

    pub(crate) fn is_lease_lost(&self) -> bool {
        self.chain().any(<dyn StdError>::is::<LeaseLost>)
    }

    /// True if somebody said of this error that [nothing was sent](ResultExt::not_sent).
    pub(crate) fn is_not_sent(&self) -> bool {
        self.chain().any(<dyn StdError>::is::<NotSent>)
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: &(dyn StdError + 'static) = self.source.as_ref();
        std::iter::successors(Some(first), |error: &&(dyn StdError + 'static)| (*error).source())
    }

    /// What should happen next. A [`Permanent`] marker anywhere in the chain of sources counts, so it survives
    /// `anyhow` and friends.
    #[must_use]
    pub fn action(&self) -> Action {
        if self.action == Action::Retry {
            let mut marks = self.chain().filter_map(|e| e.downcast_ref::<Marked>());
            if let Some(marker) = marks.next() {
                return marker.action;
            }
        }
        self.action
    }

    /// The error and its causes, outermost first, joined with `: `.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.source.to_string();
        for error in self.chain().skip(1) {
            let cause = error.to_string();
            // Many error types already print their cause.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        text
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobError").field("action", &self.action()).field("error", &self.report()).finish()
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

// JobError is no `Error` itself, so that this can cover every type that is one.
impl<E: Into<Source>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// An error with an [`Action`] attached that survives being wrapped.
#[derive(Debug)]
struct Marked {
    action: Action,
    source: Source,
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl StdError for Marked {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

/// An error that says never to run the job again, wherever it stands in a chain of sources.
pub struct Permanent(Marked);

impl Permanent {
    /// Marks `error` as permanent.
    pub fn new(error: impl Into<Source>) -> Self {
        Self(Marked { action: Action::Permanent, source: error.into() })
    }
}

impl fmt::Debug for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.source, f)
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Permanent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// An error of an effect that did not happen, see [`ResultExt::not_sent`].
#[derive(Debug)]
pub struct NotSent(Source);

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for NotSent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

/// The store has ended the lease under which a handler runs.
#[derive(Debug)]
struct LeaseLost;

impl fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease on this job has ended: it runs elsewhere")
    }
}

impl StdError for LeaseLost {}

/// Says what should happen when a step of a handler fails.
pub trait ResultExt<T> {
    /// Never run the job again on this error.
    ///
    /// # Errors
    /// The error, marked; it keeps its mark inside `anyhow` and friends.
    fn permanent(self) -> Result<T, Permanent>;

    /// Run the job again after `delay` on this error.
    ///
    /// # Errors
    /// The error with the delay.
    fn retry_after(self, delay: Duration) -> Result<T, JobError>;

    /// In an [effect](crate::JobContext::effect): on this error it is certain that nothing has happened (no connection,
    /// a refusal), so it may be called again whatever its kind.
    ///
    /// # Errors
    /// The error, marked; it keeps its mark inside `anyhow` and friends.
    fn not_sent(self) -> Result<T, NotSent>;
}

impl<T, E: Into<Source>> ResultExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, Permanent> {
        self.map_err(Permanent::new)
    }

    fn retry_after(self, delay: Duration) -> Result<T, JobError> {
        self.map_err(|e| JobError::retry_after(e, delay))
    }

    fn not_sent(self) -> Result<T, NotSent> {
        self.map_err(|e| NotSent(e.into()))
    }
}

/// Your own error type decides per variant what happens next.
///
/// ```
/// use job_core::{IntoJobError, JobError};
/// enum Charge { CardDeclined, Timeout }
/// impl IntoJobError for Charge {
///     fn into_job_error(self) -> JobError {
///         match self {
///             Charge::CardDeclined => JobError::permanent("card declined"),
///             Charge::Timeout => JobError::retry("the bank did not answer"),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a `JobError`",
    note = "implement `std::error::Error` (for example with thiserror) to retry on it, or `IntoJobError` to decide per variant"
)]
pub trait IntoJobError {
    /// What this error means for the job.
    fn into_job_error(self) -> JobError;
}

impl IntoJobError for JobError {
    fn into_job_error(self) -> JobError {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32, Box<dyn StdError + Send + Sync>> {
        Ok(text.parse::<u32>()?)
    }

    #[test]
    fn any_error_retries_and_permanent_stops() {
        fn plain() -> JobResult<u32> {
            Ok(parse("x")?)
        }
        fn stop() -> JobResult<u32> {
            Ok(parse("x").permanent()?)
        }
        assert_eq!(plain().expect_err("fails").action(), Action::Retry);
        let error = stop().expect_err("fails");
        assert_eq!(error.action(), Action::Permanent);
        assert_eq!(error.report(), "invalid digit found in string");
    }

    #[test]
    fn the_mark_survives_wrapping() {
        #[derive(Debug, thiserror::Error)]
        #[error("while charging")]
        struct Outer(#[source] Permanent);
        let error = JobError::from(Outer(Permanent::new("card declined")));
        assert_eq!(error.action(), Action::Permanent);
        assert_eq!(error.report(), "while charging: card declined");
    }
}
