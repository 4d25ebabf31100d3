//! What handlers return, and how others wait for it.

use crate::JobId;
use crate::client::Client;
use crate::context::JobContext;
use crate::error::BackendError;
use crate::job::Job;
use crate::note::Note;
use crate::operate::{JobRecord, JobState};
use crate::outcome::JobError;
use crate::verdict::DeadReason;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// A type of job whose results are kept: `#[job(result = "1h")]`.
#[diagnostic::on_unimplemented(
    message = "nobody keeps what `{Self}` returns",
    note = "say for how long: `#[job(result = \"1h\")]`"
)]
pub trait HasResult: Job {
    /// What its handler returns.
    type Output: DeserializeOwned;
}

/// What `Result` returns if it is one.
pub trait ReturnValue {
    /// The value of its `Ok`.
    type Value;
}

impl<T, E> ReturnValue for Result<T, E> {
    type Value = T;
}

/// Keeps the value that a handler returned; 64 KiB as JSON at most.
pub fn keep_result<T: Serialize>(ctx: &JobContext, value: &T) -> Result<(), JobError> {
    let json = serde_json::to_vec(value).map_err(|e| {
        JobError::permanent(format!("what the handler returned cannot be written as JSON: {e}"))
    })?;
    if json.len() > Note::VALUE_BYTES_MAX {
        return Err(JobError::permanent(format!(
            "what the handler returned is {} bytes as JSON, the limit is {}: store it elsewhere and return its id",
            json.len(),
            Note::VALUE_BYTES_MAX
        )));
    }
    ctx.keep_result(json.into());
    Ok(())
}

/// A stored job, to wait for. Made by [`Client::handle`].
pub struct JobHandle<'a, J> {
    client: &'a Client,
    id: JobId,
    job: PhantomData<fn() -> J>,
}

impl<J> fmt::Debug for JobHandle<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The time was up; the job goes on.
    #[error("the job has not completed in time: it is {state}")]
    Timeout {
        /// Where it was last seen.
        state: JobState,
    },
    /// It is in the dead-letter queue.
    #[error("the job is dead ({reason}): {error}")]
    Dead {
        /// Why.
        reason: DeadReason,
        /// The last failure.
        error: String,
    },
    /// The store does not have it: it was cancelled or discarded, it never was, or its result is no longer kept.
    #[error("the store does not have the job: it was cancelled, or its result is not kept any more")]
    Gone,
    /// It has completed, and what is kept is not what was asked for.
    #[error("the result of the job cannot be read: {0}")]
    Unreadable(String),
    /// The store could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Client {
    /// A handle of a stored job, by the id that its enqueue answered. If the enqueue was answered by another job that holds its
    /// key, the handle is of that one, and so is the result.
    ///
    /// ```
    /// # use job_core::{Client, HasResult, Job, ResultError};
    /// # use std::time::Duration;
    /// # async fn report<MakeReport: HasResult>(client: &Client, job: MakeReport) -> Result<MakeReport::Output, Box<dyn std::error::Error>> {
    /// let job = client.enqueue(job).await?;
    /// let report = client.handle::<MakeReport>(job.id).result(Duration::from_secs(30)).await?;
    /// # Ok(report)
    /// # }
    /// ```
    #[must_use]
    pub fn handle<J: Job>(&self, id: JobId) -> JobHandle<'_, J> {
        JobHandle { client: self, id, job: PhantomData }
    }
}

impl<J> JobHandle<'_, J> {
    /// The id of the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }
}

/// How often the store is asked, at first and at last.
const ASK_FIRST: Duration = Duration::from_millis(10);
const ASK_LAST: Duration = Duration::from_secs(1);

impl<J: HasResult> JobHandle<'_, J> {
    /// Waits until the job has completed, for at most `timeout`, and gives what its handler returned. The store is asked again
    /// and again, every second at last, so this is for few jobs and short times; what follows a job for certain is
    /// [`JobContext::then`].
    ///
    /// # Errors
    /// [`ResultError`] if there will be no result, or the time is up. A store that cannot be reached is asked again until then.
    pub async fn result(&self, timeout: Duration) -> Result<J::Output, ResultError> {
        let deadline = Instant::now() + timeout;
        let mut pause = ASK_FIRST;
        loop {
            let look = timeout_at(deadline, self.client.backend().get(self.id)).await;
            let late = Instant::now() + pause >= deadline;
            match look {
                Err(_) => return Err(ResultError::Timeout { state: JobState::Ready }),
                Ok(Ok(None)) => return Err(ResultError::Gone),
                Ok(Ok(Some(record))) => match outcome::<J>(&record) {
                    Some(outcome) => return outcome,
                    None if late => return Err(ResultError::Timeout { state: record.state }),
                    None => {}
                },
                Ok(Err(error)) if late || !error.is_transient() => return Err(error.into()),
                Ok(Err(_)) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(ASK_LAST);
        }
    }
}

/// What became of the job, if it has ended.
fn outcome<J: HasResult>(record: &JobRecord) -> Option<Result<J::Output, ResultError>> {
    match record.state {
        JobState::Completed => Some(match record.result() {
            Some(json) => serde_json::from_slice(json).map_err(|e| ResultError::Unreadable(e.to_string())),
            None => Err(ResultError::Unreadable("it was completed without one".to_owned())),
        }),
        JobState::Cancelled => Some(Err(ResultError::Gone)),
        JobState::Dead => Some(Err(ResultError::Dead {
            reason: record.dead_reason.unwrap_or(DeadReason::Exhausted),
            error: record.errors.last().map(|e| e.error.clone()).unwrap_or_default(),
        })),
        JobState::Scheduled | JobState::Ready | JobState::Running | JobState::Retrying => None,
    }
}
