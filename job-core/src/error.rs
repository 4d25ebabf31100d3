//! Errors of the store, the client and the configuration.

use crate::JobId;
use crate::conflict::KeyTaken;
use std::error::Error as StdError;
use std::fmt;

type Source = Box<dyn StdError + Send + Sync>;

/// Whether a call that failed may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed, now or later.
    NotApplied,
    /// It may have been applied, or may still be: repeat the same call with the same ids to find out.
    Unknown,
}

/// Whether it helps to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store is away or busy: try again later.
    Transient,
    /// The store refuses this kind of call until somebody mends it: schema missing, no rights, wrong version.
    Permanent,
    /// The store refuses this request for what it says: too large, unknown name.
    Rejected,
}

/// What a [`Backend`](crate::Backend) answers when it cannot do what it was asked.
#[derive(Debug)]
pub struct BackendError {
    kind: ErrorKind,
    effect: Effect,
    backend: &'static str,
    operation: &'static str,
    message: String,
    key_taken: Option<Box<KeyTaken>>,
    source: Option<Source>,
}

impl BackendError {
    /// An error of `backend` during `operation`.
    #[must_use]
    pub fn new(
        backend: &'static str,
        operation: &'static str,
        kind: ErrorKind,
        effect: Effect,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, effect, backend, operation, message: message.into(), key_taken: None, source: None }
    }

    /// The error of `backend` for an enqueue that asked for one if a key is taken: nothing was changed.
    #[must_use]
    pub fn of_key_taken(backend: &'static str, taken: KeyTaken) -> Self {
        let error = Self::new(backend, "enqueue", ErrorKind::Rejected, Effect::NotApplied, taken.to_string());
        Self { key_taken: Some(Box::new(taken)), ..error }
    }

    /// The key that was taken, if that is the error.
    #[must_use]
    pub fn key_taken(&self) -> Option<&KeyTaken> {
        self.key_taken.as_deref()
    }

    /// The same with the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same of a call that may have been applied in part: an earlier step of it was.
    #[must_use]
    pub fn in_part(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    /// Whether it helps to try again.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the call may have been applied.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// True if the store was only away or busy.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Transient
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::NotApplied => "nothing was changed",
            Effect::Unknown => "it may have been applied",
        };
        write!(f, "{} {}: {} ({effect})", self.backend, self.operation, self.message)
    }
}

impl StdError for BackendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

/// Why a job is not known to be in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The job itself is refused; trying again cannot help. Nothing was stored.
    #[error("job refused: {0}")]
    Rejected(String),
    /// A key of a job with [`OnConflict::Error`](crate::OnConflict::Error) is taken. Nothing was stored.
    #[error("not enqueued: {0}")]
    KeyTaken(KeyTaken),
    /// The store refused or could not be reached. Nothing was stored.
    #[error("not enqueued: {0}")]
    NotApplied(#[source] BackendError),
    /// The store may have it. Enqueue the same jobs with the same ids to find out; that cannot make a second one.
    #[error("enqueue of {} job(s), first {}: outcome unknown: {source}", ids.len(), first(ids))]
    Unknown {
        /// The ids that may be stored.
        ids: Vec<JobId>,
        /// What went wrong.
        source: BackendError,
    },
}

fn first(ids: &[JobId]) -> String {
    ids.first().map_or_else(|| "-".into(), ToString::to_string)
}

impl EnqueueError {
    /// A refusal with this reason.
    #[must_use]
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }

    /// The error of a backend while these ids were enqueued.
    #[must_use]
    pub fn from_backend(error: BackendError, ids: impl IntoIterator<Item = JobId>) -> Self {
        match (error.effect(), error.kind, error.key_taken) {
            (Effect::Unknown, _, key_taken) => {
                Self::Unknown { ids: ids.into_iter().collect(), source: BackendError { key_taken, ..error } }
            }
            (_, _, Some(taken)) => Self::KeyTaken(*taken),
            (_, ErrorKind::Rejected, None) => Self::Rejected(error.message),
            (_, _, None) => Self::NotApplied(BackendError { key_taken: None, ..error }),
        }
    }
}

/// Every mistake of a runtime's configuration, numbered, reported at once by `build()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    problems: Vec<String>,
}

impl BuildError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// The mistakes, one text each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.problems.len();
        write!(f, "the runtime cannot start, {n} problem{}:", if n == 1 { "" } else { "s" })?;
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "\n  {}. {problem}", i + 1)?;
        }
        Ok(())
    }
}

impl StdError for BuildError {}
