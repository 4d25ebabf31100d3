//! Lines: jobs of one kind that wait one behind the other because they share a key.

use super::{LimitName, LimitRule};
use crate::Kind;
use crate::new_job::NewJob;

/// What holds for the jobs of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindLimits {
    /// The kind.
    pub kind: Kind,
    /// The limits under which its jobs are, besides those of the kind and of its queue.
    pub limits: Vec<LimitName>,
    /// What each of its lines may take.
    pub line: LimitRule,
    /// A line lets a job go only when the one before it has ended: completed, gone dead, cancelled. While that one runs or
    /// waits for its next attempt, the line stands still.
    pub ordered: bool,
}

impl KindLimits {
    /// A kind without any limits.
    #[must_use]
    pub const fn none(kind: Kind) -> Self {
        Self {
            kind,
            limits: Vec::new(),
            line: LimitRule { concurrency: None, rate: None, adaptive_min: None },
            ordered: false,
        }
    }
}

/// What a type of job says about limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobLimits {
    /// Limits of the runtime that its jobs are under.
    pub names: Vec<LimitName>,
    /// What all jobs of the type together may take, in whatever queue.
    pub all: LimitRule,
    /// What the jobs of each line may take, see [`Job::line`](crate::Job::line).
    pub line: LimitRule,
    /// Each line is worked off strictly in order, see [`KindLimits::ordered`].
    pub ordered: bool,
}

impl NewJob {
    /// The header of a job that waits in a line: the key of that line.
    pub const LINE_HEADER: &str = "steadfast-line";

    /// The key that it shares with the other jobs of its line, if it waits in one.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        self.headers.get(Self::LINE_HEADER).map(String::as_str)
    }

    /// Puts it into a line: that of its queue, its kind and this key.
    pub fn set_line(&mut self, key: impl Into<String>) {
        self.headers.insert(Self::LINE_HEADER.to_owned(), key.into());
    }
}
