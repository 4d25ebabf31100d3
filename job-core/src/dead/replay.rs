//! What to replay, and what came of it.

use super::filter::{DeadFilter, Selection};
use crate::error::BackendError;
use crate::{JobId, ReplayId};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

type Progress = dyn Fn(&ReplayReport) + Send + Sync;

/// Which dead jobs to make ready again, and how: given to [`DeadLetters::replay`](super::DeadLetters::replay).
///
/// ```
/// use job_core::{DeadFilter, Replay};
/// use tokio_util::sync::CancellationToken;
///
/// let stop = CancellationToken::new();
/// let replay = Replay::matching(DeadFilter::all().error_contains("mail server"))
///     .pace(50) // jobs a second
///     .by("ada")
///     .stop(stop.clone())
///     .on_progress(|so_far| println!("{} replayed, {} left", so_far.replayed, so_far.left));
/// # let _ = replay;
/// ```
#[derive(Clone)]
#[must_use = "nothing is replayed until this is given to `DeadLetters::replay`"]
pub struct Replay {
    pub(super) id: ReplayId,
    pub(super) cutoff: Option<Timestamp>,
    pub(super) selection: Selection,
    pub(super) dry_run: bool,
    pub(super) pace: Option<u32>,
    pub(super) by: String,
    pub(super) stop: CancellationToken,
    pub(super) progress: Option<Arc<Progress>>,
}

impl Replay {
    fn new(selection: Selection) -> Self {
        Self {
            id: ReplayId::new(),
            cutoff: None,
            selection,
            dry_run: false,
            pace: None,
            by: String::new(),
            stop: CancellationToken::new(),
            progress: None,
        }
    }

    /// These jobs; ids of jobs that are not dead are counted as gone.
    pub fn jobs(ids: impl IntoIterator<Item = JobId>) -> Self {
        Self::new(Selection::jobs(ids))
    }

    /// Every job that the filter means.
    pub fn matching(filter: DeadFilter) -> Self {
        Self::new(Selection::Matching(filter))
    }

    /// Changes nothing; the report says how many jobs are meant, and names the first of them.
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// At most so many jobs a second; without this, as fast as the store takes them. 0 is refused.
    pub fn pace(self, jobs_per_second: u32) -> Self {
        Self { pace: Some(jobs_per_second), ..self }
    }

    /// Who wants this, for the log and for [`DeadLetters::operations`](super::DeadLetters::operations).
    pub fn by(self, who: impl Into<String>) -> Self {
        Self { by: who.into(), ..self }
    }

    /// Stops before the next jobs once this is cancelled; what has been replayed stays so.
    pub fn stop(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Called with the report so far: once when the jobs have been counted, then after each few that were replayed. Must be quick.
    pub fn on_progress(self, progress: impl Fn(&ReplayReport) + Send + Sync + 'static) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// Goes on with an earlier replay, whose report had this id and cutoff; give it the same filter or ids as that. A job that
    /// has been replayed by it and died again is left alone.
    pub fn resume(self, id: ReplayId, cutoff: Timestamp) -> Self {
        Self { id, cutoff: Some(cutoff), ..self }
    }

    pub(super) fn tell(&self, report: &ReplayReport) {
        if let Some(progress) = &self.progress {
            progress(report);
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("id", &self.id)
            .field("cutoff", &self.cutoff)
            .field("selection", &self.selection)
            .field("dry_run", &self.dry_run)
            .field("pace", &self.pace)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

/// What a replay has done, or has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The replay; in every log line of it.
    pub id: ReplayId,
    /// When the last of the jobs that it is for died, by the store's clock. Later deaths are none of its business. `None` if
    /// there are no such jobs.
    pub cutoff: Option<Timestamp>,
    /// How many jobs were named, or dead and matching when it began.
    pub matched: u64,
    /// The first of those that are dead, at most 100.
    pub first: Vec<JobId>,
    /// How many are ready again.
    pub replayed: u64,
    /// How many stay dead because another job has taken their unique key.
    pub skipped: u64,
    /// How many were not dead any more when it was their turn.
    pub gone: u64,
    /// How many it has not come to.
    pub left: u64,
    /// True if it was stopped.
    pub stopped: bool,
}

/// A replay that the store has ended. It can be [resumed](Replay::resume).
#[derive(Debug, thiserror::Error)]
#[error("the replay {} ended after {} of {} jobs: {source}", report.id, report.replayed, report.matched)]
#[non_exhaustive]
pub struct ReplayError {
    /// What it had done by then.
    pub report: Box<ReplayReport>,
    /// What the store says.
    pub source: BackendError,
}
