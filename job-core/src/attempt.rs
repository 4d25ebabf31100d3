//! What a running attempt remembers beside its arguments: notes it has read, and what is to come with its verdict.

use crate::backend::Hold;
use crate::context::JobContext;
use crate::error::EnqueueError;
use crate::job::Job;
use crate::new_job::NewJob;
use crate::note::{Note, NoteEdit};
use crate::notebook::Notebook;
use crate::outcome::JobError;
use crate::seeded_bug;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Attempt {
    notebook: Notebook,
    ending: Mutex<Ending>,
    /// When progress was stored last.
    progress: Mutex<Option<Instant>>,
}

/// What is to come with the verdict.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What its handler returned, as JSON, if that is kept.
    pub(crate) result: Option<Bytes>,
    /// Jobs to enqueue if it completes.
    pub(crate) follow_ups: Vec<NewJob>,
    /// The effect in doubt, if one is.
    pub(crate) in_doubt: Option<String>,
    /// It was completed in a transaction of the application, whose end is not known.
    pub(crate) completed: bool,
}

impl Clone for Attempt {
    /// A copy of a context is another attempt.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What a running attempt shares with the parts of its handler.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two states under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt {
    pub(crate) fn take_ending(&self) -> Ending {
        std::mem::take(&mut lock(&self.ending))
    }
}

impl JobContext {
    pub(crate) async fn read_note(&self, name: &str) -> Result<Option<(Note, Duration)>, JobError> {
        self.memory().notebook.read(self.desk(), self.queue(), name).await
    }

    pub(crate) async fn write_note(&self, edit: NoteEdit) -> Result<(), JobError> {
        self.memory().notebook.write(self.desk(), self.queue(), edit).await
    }

    /// The error of an effect in doubt. The job does not complete any more, whatever its handler makes of the error.
    pub(crate) fn doubt(&self, effect: &str, why: &str) -> JobError {
        let text = format!("nobody knows whether the effect {effect:?} has happened: {why}");
        if !seeded_bug!("doubt_can_be_ignored") {
            lock(&self.memory().ending).in_doubt = Some(text.clone());
        }
        JobError::in_doubt(text)
    }

    pub(crate) fn is_progress_due(&self, now: Instant, every: Duration) -> bool {
        let mut last = lock(&self.memory().progress);
        let due = last.is_none_or(|last| now.duration_since(last) >= every);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Enqueues a job if, and only if, this one completes: in the same step, so there is no moment at which one is done and
    /// the other not there. If the handler fails, nothing is enqueued, and its next attempt says so again.
    ///
    /// The new job carries the header `steadfast-parent` with the id of this one. If a key of it is taken, an error could be told
    /// to nobody: [`OnConflict::Error`](crate::OnConflict::Error) is as [`OnConflict::Existing`](crate::OnConflict::Existing) here.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if the job breaks a limit, or middleware refuses it.
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn then<J: Job>(&self, job: J) -> Result<(), EnqueueError> {
        self.then_new(NewJob::of(&job)?)
    }

    /// [`then`](Self::then) for an erased job, such as one with options that `client.enqueue(..).prepare()` has made.
    ///
    /// # Errors
    /// As [`then`](Self::then).
    pub fn then_new(&self, mut job: NewJob) -> Result<(), EnqueueError> {
        job.follow(self.id(), self.desk().env.as_ref().map(|env| &env.layers))?;
        lock(&self.memory().ending).follow_ups.push(job);
        Ok(())
    }

    /// Keeps what the handler returned, to be stored with the verdict.
    pub(crate) fn keep_result(&self, result: Bytes) {
        if !seeded_bug!("result_forgotten") {
            lock(&self.memory().ending).result = Some(result);
        }
    }

    /// For backends that can complete a job in a transaction of the application: the right to it, and the jobs that come with
    /// its completion. `None` for a context that no runtime has made.
    #[doc(hidden)]
    #[must_use]
    pub fn complete_elsewhere(&self) -> Option<(Hold, Vec<NewJob>)> {
        self.desk().env.as_ref()?;
        let mut ending = lock(&self.memory().ending);
        ending.completed = true;
        Some((self.desk().hold, ending.follow_ups.clone()))
    }
}
