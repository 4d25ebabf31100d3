//! Reading the dead jobs of a queue, through short outages of the store.

use super::DeadLetters;
use super::filter::Selection;
use crate::error::BackendError;
use crate::listing::{Cursor, ListFilter, Page};
use crate::operate::{JobRecord, JobState};
use crate::repeats::Repeats;
use crate::{JobId, Kind};
use jiff::Timestamp;
use std::future::Future;
use std::time::Duration;

/// How many jobs are read at once.
pub(crate) const PAGE: u32 = 200;

/// How often a call is made again.
pub(super) const REPEATS: Repeats = Repeats::new(5, Duration::from_millis(100));

impl DeadLetters {
    pub(crate) async fn page(
        &self,
        kind: Option<&Kind>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, BackendError> {
        let state = JobState::Dead;
        let filter =
            ListFilter { kind: kind.cloned(), after, limit, ..ListFilter::new(self.queue.clone(), state) };
        self.patiently(|| self.client.backend().list(&filter)).await
    }

    /// A call that may be repeated without harm, made again while its failures are transient.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, BackendError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, BackendError> {
        let mut repeats = REPEATS;
        loop {
            let answer = call().await;
            match &answer {
                Err(error) if repeats.again(error, self.client.chance()).await => {}
                _ => return answer,
            }
        }
    }
}

/// Goes once through the dead jobs of a selection that died no later than the cutoff, if there is one.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    dead: &'a DeadLetters,
    selection: &'a Selection,
    cutoff: Option<Timestamp>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The next of the ids.
    At(usize),
    After(Option<Cursor>),
    End,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(dead: &'a DeadLetters, selection: &'a Selection, cutoff: Option<Timestamp>) -> Self {
        let place = match selection {
            Selection::Jobs(_) => Place::At(0),
            Selection::Matching(_) => Place::After(None),
        };
        Self { dead, selection, cutoff, place }
    }

    /// True if the jobs are given by their ids.
    pub(crate) fn are_named(&self) -> bool {
        matches!(self.selection, Selection::Jobs(_))
    }

    /// Some of the jobs, at most [`PAGE`]; none at all only when there are no more.
    pub(crate) async fn next(&mut self) -> Result<Vec<JobRecord>, BackendError> {
        loop {
            let mut jobs = match (&mut self.place, self.selection) {
                (Place::At(next), Selection::Jobs(ids)) if *next < ids.len() => {
                    let end = ids.len().min(*next + PAGE as usize);
                    let mut jobs = Vec::new();
                    for id in &ids[*next..end] {
                        jobs.extend(self.dead.get(*id).await?);
                    }
                    *next = end;
                    jobs
                }
                (Place::After(after), Selection::Matching(filter)) => {
                    let page = self.dead.page(filter.kind.as_ref(), after.take(), PAGE).await?;
                    self.place = page.next.map_or(Place::End, |next| Place::After(Some(next)));
                    page.jobs
                }
                _ => return Ok(Vec::new()),
            };
            jobs.retain(|job| self.is_meant(job));
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    fn is_meant(&self, job: &JobRecord) -> bool {
        let selected = match self.selection {
            Selection::Jobs(_) => true,
            Selection::Matching(filter) => filter.matches(job),
        };
        selected && self.is_old_enough(job)
    }

    /// True if it died no later than the cutoff.
    fn is_old_enough(&self, job: &JobRecord) -> bool {
        job.died_at.is_some_and(|died| self.cutoff.is_none_or(|cutoff| died <= cutoff))
    }

    /// True if the job is, at this moment, still dead and meant.
    pub(crate) async fn is_still_meant(&self, id: JobId) -> Result<bool, BackendError> {
        Ok(self.dead.get(id).await?.is_some_and(|job| self.is_meant(&job)))
    }
}

/// What a first look has found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) matched: u64,
    pub(crate) first: Vec<JobId>,
    /// When the last of them died.
    pub(crate) newest: Option<Timestamp>,
}

impl Survey {
    const FIRST: usize = 100;

    pub(crate) async fn of(mut pages: Pages<'_>) -> Result<Self, BackendError> {
        let mut survey = Self::default();
        loop {
            let jobs = pages.next().await?;
            if jobs.is_empty() {
                return Ok(survey);
            }
            survey.matched += jobs.len() as u64;
            survey.newest = jobs.iter().filter_map(|j| j.died_at).chain(survey.newest).max();
            let room = Self::FIRST - survey.first.len();
            survey.first.extend(jobs.iter().take(room).map(|j| j.id));
        }
    }
}
