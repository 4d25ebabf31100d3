//! Pages of jobs.

use crate::operate::{JobRecord, JobState};
use crate::{Kind, QueueName};

/// Which jobs to list.
#[derive(Debug, Clone)]
pub struct ListFilter {
    /// The queue.
    pub queue: QueueName,
    /// The state.
    pub state: JobState,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Where the previous page ended.
    pub after: Option<Cursor>,
    /// The most jobs in a page.
    pub limit: u32,
}

impl ListFilter {
    /// The first 100 jobs of a queue in this state.
    #[must_use]
    pub fn new(queue: QueueName, state: JobState) -> Self {
        Self { queue, state, kind: None, after: None, limit: 100 }
    }
}

/// Where a page ends; means nothing to anybody but the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A page of jobs.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<JobRecord>,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor>,
}
