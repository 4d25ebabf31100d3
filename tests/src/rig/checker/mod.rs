//! Judges a run by its histories and by what the store has in the end. Knows nothing of the runtime or of any backend.

mod facts;
mod rules;
mod summary;
#[cfg(test)]
mod tests;

pub use summary::{Floors, Summary};

use super::event::Record;
use facts::Facts;
use job_core::{DeadReason, JobId, JobState};
use std::fmt;

/// What one process wrote down.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its name.
    pub by: String,
    /// Its events, oldest first.
    pub records: Vec<Record>,
}

/// What the store has when everything is over.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// Every job, in whatever state.
    pub jobs: Vec<Kept>,
    /// Jobs that the queue's own numbers say are not over.
    pub pending: u64,
    /// Jobs that the queue's own numbers say are dead.
    pub dead: u64,
    /// Rows of jobs that are not over and of leases, as the server's own language counts them, each with its name.
    pub leftovers: Vec<(String, i64)>,
}

/// A job that the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub job: JobId,
    /// Where it is in its life.
    pub state: JobState,
    /// Why it is dead.
    pub reason: Option<DeadReason>,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A job was stored and is gone without a verdict that could have ended it.
    Lost,
    /// An acknowledged job was never given to a handler.
    NeverRan,
    /// A job is still there when everything is over.
    Stranded,
    /// A job nobody asked for, or with other arguments, or run without a claim.
    Phantom,
    /// A job ran although its caller was told that it is not stored.
    RefusedButRan,
    /// Two verdicts that end a job were applied.
    TwoEnds,
    /// A job was claimed after a verdict had ended it.
    RanAfterEnd,
    /// A verdict was applied although its lease was over.
    StaleAccepted,
    /// One claim of a job was given to two holders.
    TwoHolders,
    /// A claim had a number that is not above that of an earlier claim.
    ClaimsWentBack,
    /// A handler was called twice under one claim.
    RanTwiceInOneClaim,
    /// A job was claimed before its time.
    Early,
    /// One idempotency key stood for two jobs.
    KeyTwice,
    /// A job ended in a way its handler did not ask for.
    WrongEnd,
    /// A repeated verdict was not recognised, or one was taken for a repeat that was not.
    BadRepeat,
    /// An answer has another length than its request.
    AnswerLength,
    /// Maintenance found stranded jobs.
    Repaired,
    /// Leases or rows of jobs are left in the end.
    Leftover,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// By which job, if by one.
    pub job: Option<JobId>,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rule)?;
        if let Some(job) = self.job {
            write!(f, " {job}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Judgement {
    /// Every rule that was broken; none in a good run.
    pub violations: Vec<Violation>,
    /// What the run did.
    pub summary: Summary,
}

/// Judges a run.
#[must_use]
pub fn check(told: &[Told], dump: &Dump) -> Judgement {
    let facts = Facts::gather(told);
    let violations = rules::all(&facts, dump);
    let summary = Summary::of(told, &facts, &violations);
    Judgement { violations, summary }
}

/// The events of all processes that name a job, oldest first: what to read when a rule was broken.
#[must_use]
pub fn timeline(told: &[Told], job: JobId) -> Vec<String> {
    let name = job.to_string();
    let mut lines: Vec<(u64, String)> = Vec::new();
    for t in told {
        for record in &t.records {
            let event = format!("{:?}", record.event);
            if event.contains(&name) {
                lines.push((record.at, format!("{:>14} {:<12} {event}", record.at / 1_000, t.by)));
            }
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}
