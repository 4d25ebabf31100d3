//! Discarding.

use super::DeadLetters;
use super::filter::{DeadFilter, Selection};
use super::operations::{Journal, OperationState};
use super::pages::{Pages, REPEATS, Survey};
use super::sweep::CLOCK_STEP;
use crate::error::{BackendError, Effect};
use crate::{JobId, seeded_bug};

/// Which dead jobs to remove for good.
#[derive(Debug, Clone)]
#[must_use = "nothing is discarded until this is given to `DeadLetters::discard`"]
pub struct Discard {
    selection: Selection,
    dry_run: bool,
    by: String,
}

impl Discard {
    fn new(selection: Selection) -> Self {
        Self { selection, dry_run: false, by: String::new() }
    }

    /// These jobs.
    pub fn jobs(ids: impl IntoIterator<Item = JobId>) -> Self {
        Self::new(Selection::jobs(ids))
    }

    /// Every job that the filter means.
    pub fn matching(filter: DeadFilter) -> Self {
        Self::new(Selection::Matching(filter))
    }

    /// Changes nothing; the report says which jobs are meant.
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Who wants this, for the log and for [`DeadLetters::operations`](super::DeadLetters::operations).
    pub fn by(self, who: impl Into<String>) -> Self {
        Self { by: who.into(), ..self }
    }
}

/// What [`DeadLetters::discard`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscardReport {
    /// How many dead jobs were meant.
    pub matched: u64,
    /// The first of them, at most 100.
    pub first: Vec<JobId>,
    /// How many have been removed.
    pub discarded: u64,
}

impl DiscardReport {
    /// How many somebody else took, once all of them have been gone through.
    fn gone(&self) -> u64 {
        let gone = self.matched.saturating_sub(self.discarded);
        if seeded_bug!("discard_misses_nobody") { 0 } else { gone }
    }
}

impl DeadLetters {
    /// Removes dead jobs for good, with their notes. A job that dies while this runs is not removed: only what had died when
    /// the first look was over.
    ///
    /// # Errors
    /// Those of the store that do not pass by themselves. Some of the jobs may have been removed; repeating is safe.
    pub async fn discard(&self, discard: &Discard) -> Result<DiscardReport, BackendError> {
        let Discard { selection, dry_run, by } = discard;
        let survey = Survey::of(Pages::new(self, selection, None)).await?;
        let mut report =
            DiscardReport { matched: survey.matched, first: survey.first, ..DiscardReport::default() };
        if *dry_run || report.matched == 0 {
            return Ok(report);
        }
        if !seeded_bug!("discard_takes_what_dies") {
            tokio::time::sleep(CLOCK_STEP).await;
        }
        let mut journal = Journal::begin(self, None, by, selection, report.matched).await?;
        let pages = Pages::new(self, selection, survey.newest);
        let ended = self.go_through_and_discard(pages, &mut report, &mut journal).await;
        if ended.is_ok() {
            journal.count(report.discarded, 0, report.gone());
        }
        journal.end(if ended.is_ok() { OperationState::Ended } else { OperationState::Failed }).await;
        ended?;
        let (matched, discarded) = (report.matched, report.discarded);
        tracing::info!(queue = %self.queue, by, ?selection, matched, discarded, "dead jobs were discarded");
        Ok(report)
    }

    async fn go_through_and_discard(
        &self,
        mut pages: Pages<'_>,
        report: &mut DiscardReport,
        journal: &mut Journal<'_>,
    ) -> Result<(), BackendError> {
        let mut seen = 0;
        loop {
            let jobs = pages.next().await?;
            if jobs.is_empty() {
                return Ok(());
            }
            let ids: Vec<_> = jobs.iter().map(|j| j.id).collect();
            report.discarded += self.discard_all(&ids).await?;
            seen += ids.len() as u64;
            report.matched = report.matched.max(seen);
            journal.count(report.discarded, 0, seen - report.discarded);
            journal.go_on().await;
        }
    }

    async fn discard_all(&self, ids: &[JobId]) -> Result<u64, BackendError> {
        let (mut repeats, mut unknown) = (REPEATS, false);
        loop {
            match self.client.backend().discard(ids).await {
                // After a lost answer nobody can tell who removed what is gone.
                Ok(answers) => return Ok(answers.iter().filter(|done| **done || unknown).count() as u64),
                Err(error) => {
                    unknown |= error.effect() == Effect::Unknown;
                    if !repeats.again(&error, self.client.chance()).await {
                        return Err(error);
                    }
                }
            }
        }
    }
}
