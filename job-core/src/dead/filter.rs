//! Which dead jobs are meant.

use super::fingerprint::Fingerprint;
use crate::operate::JobRecord;
use crate::verdict::DeadReason;
use crate::{JobId, Kind, seeded_bug};
use jiff::Timestamp;
use std::fmt;

/// Which dead jobs of a queue are meant: those for which everything that is set here holds. A new filter means all.
///
/// ```
/// use job_core::{DeadFilter, DeadReason, Kind};
///
/// let filter = DeadFilter::all()
///     .kind(Kind::from_static("send_invoice"))
///     .reason(DeadReason::Exhausted)
///     .error_contains("mail server");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadFilter {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Dead for this reason.
    pub reason: Option<DeadReason>,
    /// With a last error of this shape.
    pub fingerprint: Option<Fingerprint>,
    /// Dead since this instant of the store's clock or a later one.
    pub died_from: Option<Timestamp>,
    /// Dead since before this instant of the store's clock.
    pub died_before: Option<Timestamp>,
    /// With this text somewhere in the last error, letter by letter.
    pub error_contains: Option<String>,
}

impl DeadFilter {
    /// All dead jobs of the queue.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }
    /// Only jobs of this kind.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self }
    }
    /// Only jobs that are dead for this reason.
    #[must_use]
    pub fn reason(self, reason: DeadReason) -> Self {
        Self { reason: Some(reason), ..self }
    }
    /// Only jobs whose last error has this fingerprint.
    #[must_use]
    pub fn fingerprint(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint: Some(fingerprint), ..self }
    }
    /// Only jobs that died at this instant of the store's clock or later.
    #[must_use]
    pub fn died_from(self, at: Timestamp) -> Self {
        Self { died_from: Some(at), ..self }
    }
    /// Only jobs that died before this instant of the store's clock.
    #[must_use]
    pub fn died_before(self, at: Timestamp) -> Self {
        Self { died_before: Some(at), ..self }
    }
    /// Only jobs whose last error has this text in it.
    #[must_use]
    pub fn error_contains(self, text: impl Into<String>) -> Self {
        Self { error_contains: Some(text.into()), ..self }
    }

    /// True if the job is dead and meant. What needs least work is looked at first.
    #[must_use]
    pub fn matches(&self, job: &JobRecord) -> bool {
        let Some(died) = job.died_at else { return false };
        let last = job.errors.last().map_or("", |e| &e.error);
        self.kind.as_ref().is_none_or(|k| *k == job.kind)
            && self.reason.is_none_or(|r| Some(r) == job.dead_reason)
            && self.died_from.is_none_or(|from| died >= from)
            && self.died_before.is_none_or(|before| died < before)
            && self.error_contains.as_ref().is_none_or(|text| last.contains(text))
            && self.fingerprint.is_none_or(|f| f == Fingerprint::of(job))
    }
}

/// Jobs by their ids, or by a filter.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Jobs(Vec<JobId>),
    Matching(DeadFilter),
}

impl Selection {
    /// Each once.
    pub(crate) fn jobs(ids: impl IntoIterator<Item = JobId>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        if !seeded_bug!("dead_jobs_named_twice") {
            ids.sort_unstable();
            ids.dedup();
        }
        Self::Jobs(ids)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs(ids) if ids.len() > 10 => write!(f, "{} jobs by their ids", ids.len()),
            Self::Jobs(ids) => {
                write!(f, "{}", ids.iter().map(JobId::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Matching(filter) => fmt::Display::fmt(filter, f),
        }
    }
}

impl fmt::Display for DeadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, reason, fingerprint, died_from, died_before, error_contains } = self;
        let parts = [
            kind.as_ref().map(|k| format!("kind {k}")),
            reason.map(|r| format!("reason {}", r.as_str())),
            fingerprint.map(|p| format!("fingerprint {p}")),
            died_from.map(|at| format!("died from {at}")),
            died_before.map(|at| format!("died before {at}")),
            error_contains.as_ref().map(|text| format!("error contains {text:?}")),
        ];
        let said: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&if said.is_empty() { "all".to_owned() } else { said.join(", ") })
    }
}
