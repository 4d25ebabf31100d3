//! Checkpoints and progress: how far a handler has come, for its next attempt and for people who look.

use crate::context::JobContext;
use crate::note::NoteEdit;
use crate::operate::JobRecord;
use crate::outcome::JobError;
use crate::seeded_bug;
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

const CHECKPOINT: &str = "checkpoint";
const PROGRESS: &str = "progress";

/// How often progress is stored, and a checkpoint by [`JobContext::resume_each`], at most.
const EVERY: Duration = Duration::from_secs(1);

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// A word about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

impl Progress {
    /// So much of so much.
    #[must_use]
    pub fn of(done: u64, total: u64) -> Self {
        Self { done, total: Some(total), message: None }
    }

    /// The same with a word about it.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl JobRecord {
    /// How far the handler says that it has come; known of a job that was looked up with
    /// [`Operate::get`](crate::Operate::get).
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let note = self.notes.iter().find(|n| n.name == PROGRESS)?;
        serde_json::from_slice(&note.value).ok()
    }
}

impl JobContext {
    /// What an earlier attempt of this job has [saved](Self::save), `None` if none has.
    ///
    /// # Errors
    /// A store that cannot be reached retries. A checkpoint of another type is permanent: mend the type, then replay.
    pub async fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, JobError> {
        if seeded_bug!("checkpoint_forgotten") {
            return Ok(None);
        }
        let Some((note, _)) = self.read_note(CHECKPOINT).await? else { return Ok(None) };
        let value = serde_json::from_slice(&note.value)
            .map_err(|e| JobError::permanent(format!("the checkpoint does not fit: {e}")))?;
        Ok(Some(value))
    }

    /// Keeps a checkpoint, in place of the one before. Once this answers, later attempts find it: after an error, a crash, a
    /// shutdown, even a replay from the dead-letter queue. At most 64 KiB as JSON.
    ///
    /// # Errors
    /// If the lease was lost, nothing is kept, and the handler should stop. A store that cannot be reached retries.
    pub async fn save<T: Serialize + Sync + ?Sized>(&self, checkpoint: &T) -> Result<(), JobError> {
        let value = serde_json::to_vec(checkpoint)
            .map_err(|e| JobError::permanent(format!("the checkpoint cannot be written as JSON: {e}")))?;
        self.write_note(NoteEdit::set(CHECKPOINT, value)).await
    }

    /// Says how far the job has come. Stored once a second at most, and when all is done; in between this costs nothing.
    ///
    /// # Errors
    /// If the lease was lost, the handler should stop. A store that cannot be reached retries.
    pub async fn progress(&self, progress: Progress) -> Result<(), JobError> {
        let now = Instant::now();
        let whole = progress.total == Some(progress.done);
        if !self.is_progress_due(now, EVERY) && !whole {
            return Ok(());
        }
        let value = serde_json::to_vec(&progress).map_err(JobError::permanent)?;
        self.write_note(NoteEdit::set(PROGRESS, value)).await
    }

    /// Goes through a stream, item by item, beginning where an earlier attempt came to.
    ///
    /// `items` makes the stream that follows a cursor (`None`: from the start); `step` handles an item and answers the
    /// cursor behind it. Cursors are kept as checkpoints once a second, at the end, and when the handler is asked to stop:
    /// then the rest is left for the next attempt, without costing one. After a crash the items of the last second are
    /// handled again. Answers how many items this attempt has handled.
    ///
    /// ```
    /// # use futures_util::stream;
    /// # use job_core::{JobContext, JobResult};
    /// # async fn handler(ctx: JobContext) -> JobResult {
    /// let after = |cursor: Option<u64>| {
    ///     let first = cursor.map_or(0, |last| last + 1);
    ///     stream::iter((first..1_000).map(Ok::<_, std::io::Error>))
    /// };
    /// ctx.resume_each(after, |row| async move {
    ///     println!("row {row}");
    ///     Ok::<_, std::io::Error>(row)
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of the stream or of a step, after the cursor so far was kept; [`JobError::cancelled`] if the handler was
    /// asked to stop: hand it on.
    pub async fn resume_each<C, I, E1, E2, S, Fut>(
        &self,
        items: impl FnOnce(Option<C>) -> S,
        mut step: impl FnMut(I) -> Fut,
    ) -> Result<u64, JobError>
    where
        C: Serialize + DeserializeOwned + Sync,
        S: Stream<Item = Result<I, E1>>,
        E1: Into<JobError>,
        E2: Into<JobError>,
        Fut: Future<Output = Result<C, E2>>,
    {
        let mut items = pin!(items(self.checkpoint().await?));
        let mut cursor = None;
        let mut saved = Instant::now();
        let mut handled = 0;
        let ended = loop {
            let item = tokio::select! {
                biased;
                () = self.cancellation().cancelled() => break Err(JobError::cancelled()),
                item = items.next() => item,
            };
            let outcome = match item {
                None => break Ok(()),
                Some(Ok(item)) => step(item).await.map_err(Into::into),
                Some(Err(error)) => Err(error.into()),
            };
            match outcome {
                Ok(next) => cursor = Some(next),
                Err(error) => break Err(error),
            }
            handled += 1;
            if saved.elapsed() >= EVERY
                && let Some(next) = cursor.take()
            {
                self.save(&next).await?;
                saved = Instant::now();
            }
        };
        if let Some(last) = cursor {
            self.save(&last).await?;
        }
        ended.map(|()| handled)
    }
}
