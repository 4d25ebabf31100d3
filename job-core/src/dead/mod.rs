//! The dead-letter queue: looking, grouping, changing, replaying, discarding.

mod discard;
mod filter;
mod fingerprint;
mod groups;
mod operations;
mod pages;
mod replay;
mod sweep;

pub use discard::{Discard, DiscardReport};
pub use filter::DeadFilter;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use groups::{DeadGroup, DeadGroups};
pub use operations::{Operation, OperationKind, OperationState};
pub use replay::{Replay, ReplayError, ReplayReport};

use crate::amendment::Amendment;
use crate::client::Client;
use crate::error::{BackendError, Effect, ErrorKind};
use crate::listing::{Cursor, Page};
use crate::new_job::NewJob;
use crate::note::Note;
use crate::operate::{JobRecord, JobState};
use crate::{JobId, QueueName};

/// The dead jobs of one queue, for people and tools. Made by [`Client::dead_letters`].
///
/// Filters other than the kind are applied here, not by the store: a call may read every dead job of the queue.
///
/// ```
/// use job_core::{BackendError, Client, DeadFilter, QueueName, Replay};
/// # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
/// let dead = client.dead_letters(QueueName::from_static("email"));
/// let found = dead.groups(&DeadFilter::all(), 100_000).await?;
/// let Some(worst) = found.groups.first() else { return Ok(()) };
/// println!("{} jobs, such as {}: {}", worst.count, worst.sample, worst.error);
///
/// // After the handler has been mended: everything that failed in this way, 50 jobs a second.
/// let replay = Replay::matching(DeadFilter::all().fingerprint(worst.fingerprint)).pace(50).by("ada");
/// let report = dead.replay(&replay).await?;
/// println!("{} of {} replayed", report.replayed, report.matched);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
    queue: QueueName,
}

impl Client {
    /// The dead-letter queue of this queue.
    #[must_use]
    pub fn dead_letters(&self, queue: QueueName) -> DeadLetters {
        DeadLetters { client: self.clone(), queue }
    }
}

impl DeadLetters {
    /// A page of the jobs that the filter means, at most `limit`, in the store's order (most stores: oldest first). It is empty
    /// only if there are no more; `next` of the page is `after` of the following one. Notes are left out.
    ///
    /// # Errors
    /// Those of the store, also if the cursor is none of its own.
    pub async fn list(
        &self,
        filter: &DeadFilter,
        mut after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, BackendError> {
        loop {
            let mut page = self.page(filter.kind.as_ref(), after, limit).await?;
            page.jobs.retain(|job| filter.matches(job));
            if !page.jobs.is_empty() || page.next.is_none() {
                return Ok(page);
            }
            after = page.next;
        }
    }

    /// The dead job with this id, notes and all; `None` if it is not dead, or in another queue.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        let job = self.patiently(|| self.client.backend().get(id)).await?;
        Ok(job.filter(|job| job.state == JobState::Dead && job.queue == self.queue))
    }

    /// Changes a dead job before it is replayed: true if it was dead. New arguments pass the client's middleware, as in an
    /// enqueue, so they are encrypted if those of other jobs are; give them as the handler is to see them.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] if the arguments or notes break a limit, or middleware refuses them: then nothing is changed. Those
    /// of the store; repeating the same amendment is safe.
    pub async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        let refused = |text: String| {
            BackendError::new("dead letters", "amend", ErrorKind::Rejected, Effect::NotApplied, text)
        };
        let Some(job) = self.get(id).await? else { return Ok(false) };
        check_notes(&job, amendment).map_err(refused)?;
        let mut amendment = amendment.clone();
        if let Some(payload) = amendment.payload.take() {
            let mut new = NewJob::new(job.kind, job.queue, payload);
            (new.id, new.headers) = (id, job.headers);
            self.client.prepare_again(&mut new).map_err(|e| refused(e.to_string()))?;
            amendment.payload = Some(new.payload);
        }
        let amended = self.patiently(|| self.client.backend().amend(id, &amendment)).await?;
        if amended {
            let (payload, notes) = (amendment.payload.is_some(), amendment.notes.len());
            tracing::info!(queue = %self.queue, job = %id, payload, notes, "a dead job was changed");
        }
        Ok(amended)
    }
}

fn check_notes(job: &JobRecord, amendment: &Amendment) -> Result<(), String> {
    let mut names: Vec<&str> = job.notes.iter().map(|n| n.name.as_str()).collect();
    for edit in &amendment.notes {
        let name = edit.name.as_str();
        if name.is_empty() || name.len() > Note::NAME_BYTES_MAX || name.contains('\0') {
            let shown: String = name.chars().take(200).collect();
            return Err(format!(
                "{shown:?} is no name for a note: use 1 to {} bytes without NUL",
                Note::NAME_BYTES_MAX
            ));
        }
        let size = edit.value.as_ref().map_or(0, bytes::Bytes::len);
        if size > Note::VALUE_BYTES_MAX {
            return Err(format!("the note {name:?} is {size} bytes, the limit is {}", Note::VALUE_BYTES_MAX));
        }
        names.retain(|known| *known != name);
        if edit.value.is_some() {
            names.push(name);
        }
    }
    if names.len() > Note::PER_JOB_MAX {
        return Err(format!("the job would have {} notes, the limit is {}", names.len(), Note::PER_JOB_MAX));
    }
    Ok(())
}
