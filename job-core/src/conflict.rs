//! What an enqueue does whose key is taken.

use crate::JobId;
use crate::new_job::NewJob;
use std::fmt;
use std::time::Duration;

/// What an enqueue does that finds a key of its job taken.
///
/// All but the first two concern the *unique* key. An idempotency key says "the same request", so a job that finds its
/// idempotency key taken is answered by the job that holds it, or refused; it never replaces one.
///
/// A job that is replaced is gone, as if it had been cancelled, and the new one has its place: the unique key, its place in
/// line if the priority is the same, and the time at which the first of them was enqueued. It has its own id and begins with
/// its first attempt, without the errors, notes and crashes of the other: those belong to other arguments.
///
/// A job that runs is never replaced, nor is one of another kind or queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnConflict {
    /// The answer is the job that holds the key; nothing is stored.
    #[default]
    Existing,
    /// The call fails and nothing of its batch is stored. Among jobs that [follow](crate::JobContext::then) another one there is
    /// nobody to tell, so there it is as [`Existing`](Self::Existing).
    Error,
    /// A job that waits (scheduled, ready, retrying) is replaced. If it runs, the answer is that job, and nothing is stored.
    Replace,
    /// As [`Latest`](Self::Latest), but each enqueue puts the run off by its own delay again.
    Debounce {
        /// However often it is put off, the run is due this long after the first enqueue.
        max_wait: Duration,
    },
    /// A job that waits is replaced by one with the newest arguments, which is due when the other was. While it runs, one job
    /// more may wait for its end, and that one is replaced. A job that comes back by itself (retry, snooze, release) while a
    /// newer one waits for it has ended: the newer one goes on.
    Latest,
}

impl OnConflict {
    /// True if a new job may take the place of one that waits.
    #[must_use]
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::Debounce { .. } | Self::Latest)
    }

    /// True if a new job may wait for the end of one that runs.
    #[must_use]
    pub const fn waits_behind(self) -> bool {
        matches!(self, Self::Debounce { .. } | Self::Latest)
    }

    /// The longest time from the first enqueue to the run, where there is one.
    #[must_use]
    pub const fn max_wait(self) -> Option<Duration> {
        match self {
            Self::Debounce { max_wait } => Some(max_wait),
            _ => None,
        }
    }
}

/// Which of a job's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// "The same request".
    Idempotency,
    /// "One live job at a time".
    Unique,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idempotency => "idempotency key",
            Self::Unique => "unique key",
        })
    }
}

/// A key that is taken, of a job that asked for an error then ([`OnConflict::Error`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTaken {
    /// The job that was refused.
    pub job: JobId,
    /// Which of its keys.
    pub name: KeyName,
    /// The key as `scope:key`.
    pub key: String,
    /// The job that holds it: a stored one, or an earlier one of the same batch.
    pub holder: JobId,
}

impl KeyTaken {
    /// This key of a job, held by another one.
    #[must_use]
    pub fn of(job: &NewJob, name: KeyName, holder: JobId) -> Self {
        let key = match name {
            KeyName::Idempotency => job.idempotency.as_ref().map(|k| (&k.scope, &k.key)),
            KeyName::Unique => job.unique.as_ref().map(|k| (&k.scope, &k.key)),
        };
        let key = key.map(|(scope, key)| format!("{scope}:{}", key.as_str())).unwrap_or_default();
        Self { job: job.id, name, key, holder }
    }
}

impl fmt::Display for KeyTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {:?} is taken by job {}", self.name, self.key, self.holder)
    }
}
