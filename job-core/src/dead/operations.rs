//! Who replayed or discarded what, as rows that the store keeps.

use super::DeadLetters;
use super::filter::Selection;
use crate::error::BackendError;
use crate::operation::{OperationEntry, OperationNote};
use crate::{OperationId, ReplayId, seeded_bug};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The least time between two notes of how far an operation has come.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// For how long rows are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A replay or a discard, as [`DeadLetters::operations`] shows it. A replay that was resumed has a row for each time, so each row has
/// one writer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// Which row.
    pub id: OperationId,
    /// What was done.
    pub kind: OperationKind,
    /// The replay, if it is one.
    pub replay: Option<ReplayId>,
    /// Who wanted it, as given to [`Replay::by`](super::Replay::by) or [`Discard::by`](super::Discard::by).
    pub by: String,
    /// Which jobs were meant, for people.
    pub what: String,
    /// How it stands.
    pub state: OperationState,
    /// How many jobs were meant when it began.
    pub matched: u64,
    /// How many were made ready again, or removed.
    pub done: u64,
    /// How many stayed dead because their unique key is taken.
    pub skipped: u64,
    /// How many were not dead any more.
    pub gone: u64,
    /// When it began, by the store's clock.
    pub began: Timestamp,
    /// When it was noted last, by the store's clock.
    pub updated: Timestamp,
}

/// What was done to dead jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OperationKind {
    /// They were made ready again.
    Replay,
    /// They were removed.
    Discard,
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OperationState {
    /// It goes on; if it was not noted for some seconds, its process has died or given it up.
    Running,
    /// It has gone through all of them.
    Ended,
    /// Somebody has stopped it.
    Stopped,
    /// The store has ended it.
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    kind: OperationKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<Uuid>,
    by: String,
    what: String,
    state: OperationState,
    matched: u64,
    done: u64,
    skipped: u64,
    gone: u64,
}

impl Operation {
    /// Of a row that this version can read.
    fn read(row: &OperationEntry) -> Option<Self> {
        let Text { kind, replay, by, what, state, matched, done, skipped, gone } =
            serde_json::from_str(&row.text).ok()?;
        let OperationEntry { id, began, updated, .. } = *row;
        let replay = replay.map(ReplayId::from_uuid);
        Some(Self { id, kind, replay, by, what, state, matched, done, skipped, gone, began, updated })
    }
}

impl DeadLetters {
    /// The last replays and discards of this queue, at most `limit`, the one that began last first; dry runs are none, nor are those
    /// that found no job. A store keeps 1,000 a queue; a new one removes those that began more than 90 days ago. Rows of a newer
    /// version that this one cannot read are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operations(&self, limit: u32) -> Result<Vec<Operation>, BackendError> {
        let rows = self.patiently(|| self.client.backend().operations(&self.queue, limit)).await?;
        Ok(rows.iter().filter_map(Operation::read).collect())
    }
}

/// The row of an operation that goes on.
#[derive(Debug)]
pub(super) struct Journal<'a> {
    letters: &'a DeadLetters,
    id: OperationId,
    /// How many notes it has made, so that one that is late in coming does not replace a newer one.
    notes: u64,
    text: Text,
    noted: Instant,
}

impl<'a> Journal<'a> {
    /// Nothing may be changed before this has worked.
    pub(super) async fn begin(
        letters: &'a DeadLetters,
        replay: Option<ReplayId>,
        by: &str,
        selection: &Selection,
        matched: u64,
    ) -> Result<Self, BackendError> {
        let kind = if replay.is_some() { OperationKind::Replay } else { OperationKind::Discard };
        let text = Text {
            kind,
            replay: replay.map(|id| id.as_uuid()),
            by: by.to_owned(),
            what: selection.to_string(),
            state: OperationState::Running,
            matched,
            done: 0,
            skipped: 0,
            gone: 0,
        };
        let journal = Self { letters, id: OperationId::new(), notes: 1, text, noted: Instant::now() };
        journal.note().await?;
        Ok(journal)
    }

    async fn note(&self) -> Result<(), BackendError> {
        self.letters.patiently(|| self.note_once()).await
    }

    async fn note_once(&self) -> Result<(), BackendError> {
        let text = serde_json::to_string(&self.text).expect("numbers and texts");
        let DeadLetters { client, queue } = self.letters;
        let kept = if seeded_bug!("operations_kept_for_ever") { Duration::MAX } else { KEPT };
        let note = OperationNote { id: self.id, number: self.notes, kept, text };
        client.backend().note_operation(queue, &note).await
    }

    fn begin_note(&mut self) {
        self.notes += u64::from(!seeded_bug!("operation_notes_unnumbered"));
    }

    pub(super) fn count(&mut self, done: u64, skipped: u64, gone: u64) {
        (self.text.done, self.text.skipped, self.text.gone) = (done, skipped, gone);
    }

    /// Notes how far it has come, if that was not noted for a while. Only the last note matters, so a failure does not.
    pub(super) async fn go_on(&mut self) {
        if self.noted.elapsed() >= NOTE_EVERY {
            self.noted = Instant::now();
            self.begin_note();
            let _ = self.note_once().await;
        }
    }

    /// Notes the end. What was done stays done if that fails.
    pub(super) async fn end(mut self, state: OperationState) {
        self.text.state = if seeded_bug!("operation_never_ends") { OperationState::Running } else { state };
        self.begin_note();
        if let Err(error) = self.note().await {
            tracing::warn!(queue = %self.letters.queue, %error, "the end of an operation could not be noted");
        }
    }
}
