//! What was done to many jobs at once, as a store keeps it.

use crate::OperationId;
use jiff::Timestamp;
use std::time::Duration;

/// One note about something that is done to many jobs, as [`Operate::note_operation`](crate::Operate::note_operation) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationNote {
    /// Which one.
    pub id: OperationId,
    /// How many notes its writer has made of it, this one included. A repetition has the number of what it repeats.
    pub number: u64,
    /// For how long rows of the queue are kept, from when they began.
    pub kept: Duration,
    /// What it is, for its author alone.
    pub text: String,
}

/// A row about something that was done to many jobs: for those who implement or wrap a [`Backend`](crate::Backend). People read
/// [`DeadLetters::operations`](crate::DeadLetters::operations).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationEntry {
    /// Which one.
    pub id: OperationId,
    /// The number of the note that it shows. Whoever goes on with it goes on above.
    pub number: u64,
    /// When it was noted first, by the store's clock.
    pub began: Timestamp,
    /// When it was noted last, by the store's clock.
    pub updated: Timestamp,
    /// What it was, as its author wrote it.
    pub text: String,
}
