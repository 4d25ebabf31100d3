//! The notes of a job, as its running attempt reads and writes them.

use crate::attempt::lock;
use crate::backend::{Hold, LeaseStatus};
use crate::error::BackendError;
use crate::note::{Note, NoteEdit, Notes};
use crate::outcome::JobError;
use crate::repeats::Repeats;
use crate::runtime::{Env, bounded};
use crate::{QueueName, fault_point, seeded_bug};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How often a call whose failure was transient is made again.
const REPEATS: u32 = 5;
const REPEAT_BASE: Duration = Duration::from_millis(50);

/// The right to the notes, and where they are: in the store, or nowhere, for handlers that a unit test calls.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) hold: Hold,
    pub(crate) env: Option<Arc<Env>>,
}

/// What this attempt knows of the notes.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    read: OnceCell<Mutex<Pages>>,
}

#[derive(Debug)]
struct Pages {
    notes: BTreeMap<String, Note>,
    /// The store's clock, and ours at the same moment.
    clock: (Timestamp, Instant),
}

impl Pages {
    fn of(notes: Notes) -> Self {
        let clock = (notes.now, Instant::now());
        Self { notes: notes.notes.into_iter().map(|n| (n.name.clone(), n)).collect(), clock }
    }

    fn now(&self) -> Timestamp {
        let (then, read) = self.clock;
        then.checked_add(read.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

impl Notebook {
    async fn pages(&self, desk: &Desk, queue: &QueueName) -> Result<MutexGuard<'_, Pages>, JobError> {
        let pages = self.read.get_or_try_init(|| async {
            let nothing = || Notes { now: Timestamp::now(), notes: Vec::new() };
            let notes = match &desk.env {
                Some(env) if desk.hold.claims > 1 => read(env, queue, &desk.hold).await?,
                _ => nothing(),
            };
            Ok::<_, JobError>(Mutex::new(Pages::of(notes)))
        });
        Ok(lock(pages.await?))
    }

    /// The note, and how long ago it was written, by the store's clock.
    pub(crate) async fn read(
        &self,
        desk: &Desk,
        queue: &QueueName,
        name: &str,
    ) -> Result<Option<(Note, Duration)>, JobError> {
        let pages = self.pages(desk, queue).await?;
        let note = pages.notes.get(name).cloned();
        Ok(note.map(|note| {
            let age = Duration::try_from(pages.now().duration_since(note.at)).unwrap_or_default();
            (note, age)
        }))
    }

    /// Writes it down for good.
    pub(crate) async fn write(&self, desk: &Desk, queue: &QueueName, edit: NoteEdit) -> Result<(), JobError> {
        {
            let pages = self.pages(desk, queue).await?;
            check(&edit, &pages)?;
        }
        if let Some(env) = &desk.env {
            let _ = fault_point!(queue.as_str(), "notes.before_save");
            let edits = std::slice::from_ref(&edit);
            let saved = repeated(env, "save", || env.backend.save(queue, &desk.hold, edits)).await;
            let _ = fault_point!(queue.as_str(), "notes.after_save");
            if saved.map_err(failed)? == LeaseStatus::Stale && !seeded_bug!("stale_note_believed") {
                return Err(JobError::lease_lost());
            }
        }
        let mut pages = self.pages(desk, queue).await?;
        let at = pages.now();
        match edit.value {
            Some(value) => drop(pages.notes.insert(edit.name.clone(), Note { name: edit.name, value, at })),
            None => drop(pages.notes.remove(&edit.name)),
        }
        Ok(())
    }
}

/// The notes, read while the lease was current. Otherwise the job may have been completed by somebody else meanwhile, its
/// notes gone with it, and this attempt would begin from the start.
async fn read(env: &Env, queue: &QueueName, hold: &Hold) -> Result<Notes, JobError> {
    let notes = repeated(env, "notes", || env.backend.notes(queue, hold)).await.map_err(failed)?;
    let current = repeated(env, "save", || env.backend.save(queue, hold, &[])).await.map_err(failed)?;
    if current == LeaseStatus::Stale && !seeded_bug!("stale_read_believed") {
        return Err(JobError::lease_lost());
    }
    Ok(notes)
}

fn check(edit: &NoteEdit, pages: &Pages) -> Result<(), JobError> {
    let refused = |text: String| Err(JobError::permanent(text));
    let size = edit.value.as_ref().map_or(0, bytes::Bytes::len);
    if size > Note::VALUE_BYTES_MAX {
        return refused(format!(
            "{:?} is {size} bytes, the limit is {}: store the data elsewhere and keep its id",
            edit.name,
            Note::VALUE_BYTES_MAX
        ));
    }
    if edit.value.is_some() && pages.notes.len() >= Note::PER_JOB_MAX && !pages.notes.contains_key(&edit.name)
    {
        return refused(format!(
            "{:?} would be more than {} effects and checkpoints of one job: split the job up",
            edit.name,
            Note::PER_JOB_MAX
        ));
    }
    Ok(())
}

fn failed(error: BackendError) -> JobError {
    JobError::retry(error)
}

/// A call with a bound on its time, made again while its failures are transient.
async fn repeated<T, F: Future<Output = Result<T, BackendError>>>(
    env: &Env,
    operation: &'static str,
    call: impl Fn() -> F,
) -> Result<T, BackendError> {
    let mut repeats = Repeats::new(REPEATS, REPEAT_BASE);
    loop {
        let answer = bounded(env.timing.call_timeout, operation, call()).await;
        match &answer {
            Err(error) if repeats.again(error, &env.chance).await => {}
            _ => return answer,
        }
    }
}
