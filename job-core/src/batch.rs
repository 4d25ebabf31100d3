//! Batches: jobs that belong together, and jobs that wait for their end.

use crate::client::Client;
use crate::conflict::OnConflict;
use crate::error::{BackendError, EnqueueError};
use crate::job::Job;
use crate::new_job::{NewJob, When};
use crate::{BatchId, JobId, seeded_bug};
use std::collections::HashSet;

/// What a store knows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRecord {
    /// The identity.
    pub id: BatchId,
    /// How many jobs it has.
    pub members: u32,
    /// How many of them have ended: completed, cancelled, discarded, or not stored because another job holds their key.
    /// Dead ones have not; they may be replayed.
    pub ended: u32,
    /// How many of them have died, those included that have been replayed since.
    pub deaths: u32,
    /// The job that runs once all have ended.
    pub on_complete: Option<JobId>,
    /// The job that runs once one has died.
    pub on_death: Option<JobId>,
}

impl BatchRecord {
    /// A batch of so many jobs, none of which has ended.
    #[must_use]
    pub const fn new(id: BatchId, members: u32) -> Self {
        Self { id, members, ended: 0, deaths: 0, on_complete: None, on_death: None }
    }

    /// True once every member has ended.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.ended >= self.members
    }
}

/// Which event of a batch a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEvent {
    /// Every member has ended.
    Complete,
    /// The first member has died.
    Death,
}

impl NewJob {
    /// The header of a job that belongs to a batch: the batch's id.
    pub const BATCH_HEADER: &str = "steadfast-batch";

    /// The batch to which the job belongs, if it does to one.
    #[must_use]
    pub fn batch(&self) -> Option<BatchId> {
        BatchId::of_headers(&self.headers)
    }
}

/// A batch on its way into the store: jobs, and what is to run when they have ended. Made by [`Client::batch`].
#[derive(Debug)]
#[must_use = "nothing is enqueued until `enqueue` is called"]
pub struct NewBatch<'a> {
    client: &'a Client,
    id: BatchId,
    members: Vec<NewJob>,
    callbacks: Vec<(BatchEvent, NewJob)>,
    problem: Option<EnqueueError>,
}

impl Client {
    /// A batch: jobs that run in any order, at once, in any queue, and a job that runs when all of them have ended, or when
    /// one of them has died.
    ///
    /// ```
    /// # use job_core::{Client, EnqueueError, Job};
    /// # async fn gallery(client: &Client, photos: Vec<impl Job>, publish: impl Job, tell: impl Job) -> Result<(), EnqueueError> {
    /// let batch = client.batch().jobs(photos).on_complete(publish).on_death(tell).enqueue().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self) -> NewBatch<'_> {
        let id = BatchId::new();
        NewBatch { client: self, id, members: Vec::new(), callbacks: Vec::new(), problem: None }
    }

    /// How far a batch has come; `None` if the store does not know it, or no longer: one that has ended is forgotten after
    /// a day.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn batch_status(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        self.backend().batch(id).await
    }
}

impl NewBatch<'_> {
    /// One more job.
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn job<J: Job>(self, job: J) -> Self {
        self.with(&job, Self::job_new)
    }

    /// More jobs.
    pub fn jobs<J: Job>(self, jobs: impl IntoIterator<Item = J>) -> Self {
        jobs.into_iter().fold(self, Self::job)
    }

    /// One more job with its type erased, such as one with options that `client.enqueue(..).prepare()` has made.
    pub fn job_new(mut self, mut job: NewJob) -> Self {
        if !seeded_bug!("batch_members_unmarked") {
            job.headers.insert(NewJob::BATCH_HEADER.to_owned(), self.id.to_string());
        }
        self.members.push(job);
        self
    }

    /// Runs this job once every member has ended: completed, cancelled or discarded. A member that has died holds it up until
    /// it is replayed and completes, or is discarded. Keys of its type do not count: the batch says how often it runs.
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn on_complete<J: Job>(self, job: J) -> Self {
        self.with(&job, |batch, job| batch.callback(BatchEvent::Complete, job))
    }

    /// Runs this job when the first member dies. It is dropped if the batch completes without that.
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn on_death<J: Job>(self, job: J) -> Self {
        self.with(&job, |batch, job| batch.callback(BatchEvent::Death, job))
    }

    fn callback(mut self, event: BatchEvent, job: NewJob) -> Self {
        self.callbacks.retain(|(known, _)| *known != event);
        self.callbacks.push((event, job));
        self
    }

    /// A job that cannot be made is reported when the batch is enqueued.
    fn with<J: Job>(mut self, job: &J, put: impl FnOnce(Self, NewJob) -> Self) -> Self {
        match NewJob::of(job) {
            Ok(job) => put(self, job),
            Err(error) => {
                self.problem.get_or_insert(error);
                self
            }
        }
    }

    /// The jobs as they are to be enqueued, in this order: callbacks, then members. For a backend's transactional enqueue,
    /// and for enqueueing again after an unknown outcome; the client's middleware has been applied.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if the batch has no member or no callback, or a job is bad.
    pub fn prepare(self) -> Result<Vec<NewJob>, EnqueueError> {
        let client = self.client;
        let mut jobs = self.in_order()?;
        jobs.iter_mut().try_for_each(|job| client.prepare_again(job))?;
        Ok(jobs)
    }

    /// Enqueues all of it. Batches of more jobs than the store takes at once are split, callbacks first: if that fails in
    /// between, the callbacks wait for members that are not there. Keep what [`prepare`](Self::prepare) gives, and repeat it.
    ///
    /// # Errors
    /// As [`Client::enqueue_new`], and [`EnqueueError::Rejected`] if the batch has no member or no callback.
    pub async fn enqueue(self) -> Result<BatchId, EnqueueError> {
        let (client, id) = (self.client, self.id);
        client.enqueue_new(&self.in_order()?).await?;
        Ok(id)
    }

    fn in_order(self) -> Result<Vec<NewJob>, EnqueueError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let ids: HashSet<JobId> = self.members.iter().map(|job| job.id).collect();
        let members = match u32::try_from(ids.len()) {
            Ok(members) if members > 0 => members,
            _ => return Err(EnqueueError::rejected("a batch needs at least one job, and at most 2^32 - 1")),
        };
        if self.callbacks.is_empty() {
            let text =
                "a batch without on_complete and on_death waits for nothing: enqueue its jobs as they are";
            return Err(EnqueueError::rejected(text));
        }
        let batch = self.id;
        let callbacks = self.callbacks.into_iter().map(|(event, job)| {
            let when = When::Batch { batch, members, event };
            // The batch says how often they run, not their types.
            NewJob { when, idempotency: None, unique: None, on_conflict: OnConflict::Existing, ..job }
        });
        Ok(callbacks.chain(self.members).collect())
    }
}
