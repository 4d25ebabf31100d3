//! Replaying, a few jobs at a time.

use super::DeadLetters;
use super::filter::Selection;
use super::operations::{Journal, OperationState};
use super::pages::{Pages, REPEATS, Survey};
use super::replay::{Replay, ReplayError, ReplayReport};
use crate::error::{BackendError, Effect, ErrorKind};
use crate::operate::JobRecord;
use crate::{JobId, seeded_bug};
use std::time::Duration;
use tokio::time::Instant;

/// The most jobs in one call of the store.
const BATCH: u32 = 100;
/// How many calls a second a pace is spread over.
const CALLS_A_SECOND: u32 = 10;
/// What was read longer ago is read again before it is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Longer than the coarsest clock of a store takes for a step, so that whoever dies from now on has died after the cutoff.
pub(super) const CLOCK_STEP: Duration = Duration::from_millis(2);

impl DeadLetters {
    /// Makes dead jobs ready again, attempts from 0. Their errors and notes are kept.
    ///
    /// A first look counts the jobs and notes when the last of them died: the cutoff. A job that dies later, such as one that
    /// fails again after this replay, is not replayed by it, nor by one that [resumes](Replay::resume) it. So a replay may be
    /// stopped, dropped or killed at any point and be resumed, and each death is replayed once at most. (The store's clock must
    /// not be set back meanwhile.)
    ///
    /// # Errors
    /// [`ReplayError`] with the report so far: the store refuses, or was away for more than some seconds. A pace of 0 is refused
    /// before anything is done.
    pub async fn replay(&self, replay: &Replay) -> Result<ReplayReport, ReplayError> {
        let mut report = ReplayReport {
            id: replay.id,
            cutoff: replay.cutoff,
            matched: 0,
            first: Vec::new(),
            replayed: 0,
            skipped: 0,
            gone: 0,
            left: 0,
            stopped: false,
        };
        let ended = self.run(replay, &mut report).await;
        if !replay.dry_run {
            let ReplayReport { replayed, skipped, gone, left, stopped, .. } = report;
            let error = ended.as_ref().err().map(tracing::field::display);
            tracing::info!(replay = %replay.id, queue = %self.queue, by = replay.by, replayed, skipped, gone, left, stopped, error, "a replay of dead jobs has ended");
        }
        match ended {
            Ok(()) => Ok(report),
            Err(source) => Err(ReplayError { report: Box::new(report), source }),
        }
    }

    async fn run(&self, replay: &Replay, report: &mut ReplayReport) -> Result<(), BackendError> {
        if replay.pace == Some(0) {
            let text = "a pace of 0 jobs a second never ends: leave it out to go as fast as the store does";
            let (kind, effect) = (ErrorKind::Rejected, Effect::NotApplied);
            return Err(BackendError::new("dead letters", "replay", kind, effect, text));
        }
        let Survey { matched, first, newest } =
            Survey::of(Pages::new(self, &replay.selection, replay.cutoff)).await?;
        (report.matched, report.left, report.first) = (matched, matched, first);
        if let Selection::Jobs(ids) = &replay.selection {
            report.matched = ids.len() as u64;
            report.gone = report.matched - matched;
        }
        report.cutoff = replay.cutoff.or(newest);
        if replay.dry_run && !seeded_bug!("dry_run_replays") {
            return Ok(());
        }
        if matched == 0 && !seeded_bug!("replay_of_nothing_noted") {
            replay.tell(report);
            return Ok(());
        }
        tracing::info!(replay = %replay.id, queue = %self.queue, by = replay.by, what = ?replay.selection, cutoff = ?report.cutoff, matched, pace = replay.pace, "a replay of dead jobs begins");
        tokio::time::sleep(CLOCK_STEP).await;
        let cutoff = report.cutoff.filter(|_| !seeded_bug!("replay_without_cutoff"));
        let mut journal =
            Journal::begin(self, Some(replay.id), &replay.by, &replay.selection, report.matched).await?;
        let pages = Pages::new(self, &replay.selection, cutoff);
        let ended = self.go_through(replay, pages, report, &mut journal).await;
        if ended.is_ok() && !report.stopped {
            // Nobody has seen these again.
            report.gone += report.left;
            report.left = 0;
        }
        journal.count(report.replayed, report.skipped, report.gone);
        let state = match ended {
            Err(_) => OperationState::Failed,
            Ok(()) if report.stopped => OperationState::Stopped,
            Ok(()) => OperationState::Ended,
        };
        journal.end(state).await;
        ended
    }

    async fn go_through(
        &self,
        replay: &Replay,
        mut pages: Pages<'_>,
        report: &mut ReplayReport,
        journal: &mut Journal<'_>,
    ) -> Result<(), BackendError> {
        let mut pace = Pace::new(replay.pace);
        replay.tell(report);
        // Not until all that were counted are done: a store may show a death late, or in the middle of those that were counted.
        loop {
            let read = Instant::now();
            let jobs = pages.next().await?;
            let read = if seeded_bug!("replay_believes_old_pages") { Instant::now() } else { read };
            if jobs.is_empty() || (report.left == 0 && seeded_bug!("replay_ends_when_counted")) {
                break;
            }
            for batch in jobs.chunks(pace.batch as usize) {
                tokio::select! {
                    biased;
                    () = replay.stop.cancelled() => {
                        report.stopped = true;
                        return Ok(());
                    }
                    () = pace.wait(batch.len()) => {}
                }
                self.replay_batch(&pages, batch, read.elapsed() < FRESH, report).await?;
                replay.tell(report);
                journal.count(report.replayed, report.skipped, report.gone);
                journal.go_on().await;
            }
        }
        Ok(())
    }

    async fn replay_batch(
        &self,
        pages: &Pages<'_>,
        batch: &[JobRecord],
        fresh: bool,
        report: &mut ReplayReport,
    ) -> Result<(), BackendError> {
        let mut count = |replayed: u64, skipped: u64, gone: u64| {
            report.replayed += replayed;
            report.skipped += skipped;
            report.gone += gone;
            let unseen = (replayed + skipped + gone).saturating_sub(report.left);
            report.left = report.left.saturating_sub(replayed + skipped + gone);
            // Those that the first look has not seen dead; of jobs by id it has called them gone.
            if pages.are_named() {
                report.gone = report.gone.saturating_sub(unseen);
            } else {
                report.matched += unseen;
            }
        };
        let mut ids: Vec<JobId> = batch.iter().map(|j| j.id).collect();
        if !fresh {
            let gone = self.split_off_others(pages, &mut ids).await?;
            count(0, 0, gone);
        }
        let mut repeats = REPEATS;
        let answers = loop {
            if ids.is_empty() {
                return Ok(());
            }
            match self.client.backend().replay(&ids).await {
                Ok(answers) => break answers,
                Err(error) => {
                    if !repeats.again(&error, self.client.chance()).await {
                        return Err(error);
                    }
                    if error.effect() == Effect::Unknown {
                        // Those that are not dead any more, or have died again, it has replayed.
                        let done = self.split_off_others(pages, &mut ids).await?;
                        count(done, 0, 0);
                    }
                }
            }
        };
        // Before anything can fail: these are replayed.
        let replayed = answers.iter().filter(|replayed| **replayed).count() as u64;
        let one_by_one = seeded_bug!("replayed_and_not_counted");
        count(if one_by_one { 0 } else { replayed }, 0, 0);
        for (id, replayed) in ids.into_iter().zip(answers) {
            if replayed {
                count(u64::from(one_by_one), 0, 0);
            } else if pages.is_still_meant(id).await? {
                count(0, 1, 0);
            } else {
                count(0, 0, 1);
            }
        }
        Ok(())
    }

    /// Takes away the jobs that are not meant any more; how many they are.
    async fn split_off_others(&self, pages: &Pages<'_>, ids: &mut Vec<JobId>) -> Result<u64, BackendError> {
        let mut meant = Vec::with_capacity(ids.len());
        for id in &*ids {
            if pages.is_still_meant(*id).await? {
                meant.push(*id);
            }
        }
        let others = (ids.len() - meant.len()) as u64;
        *ids = meant;
        Ok(others)
    }
}

/// Spreads jobs over time.
#[derive(Debug)]
struct Pace {
    per_second: Option<u32>,
    batch: u32,
    next: Instant,
}

impl Pace {
    fn new(per_second: Option<u32>) -> Self {
        let batch = per_second.map_or(BATCH, |n| (n / CALLS_A_SECOND).clamp(1, BATCH));
        Self { per_second, batch, next: Instant::now() }
    }

    /// Until it is time for so many more. Time that was lost is not made up for.
    async fn wait(&mut self, jobs: usize) {
        let Some(per_second) = self.per_second else { return };
        tokio::time::sleep_until(self.next).await;
        let share = Duration::from_secs(jobs as u64) / per_second;
        self.next = self.next.max(Instant::now()) + share;
    }
}
