//! What was done to many jobs at once, as a store keeps it.

use crate::OperationId;
use jiff::Timestamp;

/// A row about something that was done to many jobs: for those who implement or wrap a [`Backend`](crate::Backend). People read
/// [`DeadLetters::operations`](crate::DeadLetters::operations).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationEntry {
    /// Which one.
    pub id: OperationId,
    /// When it was noted first, by the store's clock.
    pub began: Timestamp,
    /// When it was noted last, by the store's clock.
    pub updated: Timestamp,
    /// What it was, as its author wrote it.
    pub text: String,
}
