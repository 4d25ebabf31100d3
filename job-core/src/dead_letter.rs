//! What becomes of a job that is given up, beside its place in the dead-letter queue.

use crate::error::EnqueueError;
use crate::new_job::NewJob;
use crate::verdict::DeadReason;
use crate::{JobId, Kind, QueueName};
use serde::{Deserialize, Serialize};

/// What becomes of a job that is given up: its attempts have run out, its error was permanent, or it has expired.
///
/// A job whose arguments cannot be read, that has an effect in doubt, or that killed its process too often always stays in the
/// dead-letter queue, and nobody is told but by alerts: a person has to look at it.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum DeadLetter {
    /// It stays in the dead-letter queue.
    #[default]
    Keep,
    /// It is gone, and an ERROR in the log is all that is left of it.
    Discard,
    /// It stays in the dead-letter queue, and another job that is made here is enqueued in the same step.
    Then(fn(DeadJob) -> Result<NewJob, EnqueueError>),
}

/// A job that was given up, as the argument of the job that comes in its place. Its own arguments are in the dead-letter queue: look
/// it up by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadJob {
    /// Its identity.
    pub id: JobId,
    /// Its wire name.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Its last attempt.
    pub attempt: u32,
    /// The word for why: `exhausted`, `permanent` or `expired`.
    pub reason: String,
    /// What went wrong last.
    pub error: String,
}

impl DeadJob {
    pub(crate) fn new(
        id: JobId,
        kind: &Kind,
        queue: &QueueName,
        attempt: u32,
        reason: DeadReason,
        error: &str,
    ) -> Self {
        Self {
            id,
            kind: kind.to_string(),
            queue: queue.to_string(),
            attempt,
            reason: reason.as_str().to_owned(),
            error: error.to_owned(),
        }
    }
}
