//! Judges a run of the crash rig or of the simulation by its histories and by what the store has in the end. Knows nothing of
//! the runtime or of any backend.

mod asked;
pub mod event;
mod facts;
mod fair;
mod limits;
pub mod outside;
pub mod point;
mod recovery;
mod rules;
pub mod storm;
mod summary;
#[cfg(test)]
mod tests;
pub mod ticks;

pub use recovery::Recovery;
pub use summary::{Floors, Losses, Summary};

use event::Record;
use facts::Facts;
use job_core::{DeadReason, JobId, JobState};
use serde::{Deserialize, Serialize};
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dump {
    /// Every job, in whatever state.
    pub jobs: Vec<Kept>,
    /// Jobs that the queue's own numbers say are not over.
    pub pending: u64,
    /// Jobs that the queue's own numbers say are dead.
    pub dead: u64,
    /// Rows of jobs that are not over and of leases, as the server's own language counts them, each with its name.
    pub leftovers: Vec<(String, i64)>,
    /// What the other side of effects was told, in its own words and order.
    #[serde(default)]
    pub calls: Vec<outside::Call>,
    /// The job of each row that the transactions of handlers have left.
    #[serde(default)]
    pub rows: Vec<JobId>,
}

/// A job that the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub job: JobId,
    /// Where it is in its life.
    #[serde(with = "words::state")]
    pub state: JobState,
    /// Why it is dead.
    #[serde(with = "words::reason")]
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
    /// A job was claimed before one that the same producer had enqueued earlier.
    OutOfOrder,
    /// A job has completed, and its effect was never called.
    EffectSkipped,
    /// An effect was called with two keys, or two effects with one.
    EffectKeys,
    /// An effect happened twice that must not.
    EffectTwice,
    /// A job has completed although nobody knew whether its effect had happened.
    DoubtIgnored,
    /// What a handler changed in the transaction of its completion is not there once for each completion.
    Torn,
    /// A job that was to come with a completion is not there, or there without it, or twice.
    FollowUp,
    /// An attempt was given an older checkpoint than one that had been acknowledged.
    CheckpointLost,
    /// A job that waits for the end of others was claimed before they had ended.
    BeforeTheOthers,
    /// More jobs under a limit had a live lease than it allows.
    OverLimit,
    /// A job of an ordered line was claimed before the one before it had ended.
    LineOutOfOrder,
    /// While a job waited in its line, another line had more turns than its own and one.
    Starved,
}

impl Rule {
    /// The clause of the reliability programme that it belongs to.
    #[must_use]
    pub fn clause(self) -> &'static str {
        match self {
            Self::Lost | Self::NeverRan | Self::Stranded => "C01 nothing lost",
            Self::Phantom | Self::RefusedButRan => "C02 nothing from nowhere",
            Self::TwoEnds | Self::RanAfterEnd => "C03 one end",
            Self::WrongEnd => "C04 success needs a run",
            Self::StaleAccepted | Self::TwoHolders | Self::BadRepeat | Self::AnswerLength => {
                "C05 one valid lease"
            }
            Self::ClaimsWentBack => "C06 claims only grow",
            Self::RanTwiceInOneClaim => "C07 attempts are counted",
            Self::Early => "C08 not before its time",
            Self::KeyTwice => "C09 one job a key",
            Self::Torn | Self::FollowUp => "C10 with the completion or not at all",
            Self::EffectKeys => "C11 one key an effect",
            Self::EffectTwice => "C12, C13 at most once",
            Self::EffectSkipped | Self::DoubtIgnored => "C14 no effect skipped",
            Self::CheckpointLost => "C14 checkpoints are kept",
            Self::BeforeTheOthers => "C10 after all of its batch",
            Self::OverLimit => "C16 never more than a limit",
            Self::OutOfOrder | Self::LineOutOfOrder => "C17 order",
            Self::Starved => "C18 nobody starves",
            Self::Repaired | Self::Leftover => "C22 nothing left behind",
        }
    }
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
        write!(f, "{} ({:?})", self.rule.clause(), self.rule)?;
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
    let summary = Summary::of(told, dump, &facts, &violations);
    Judgement { violations, summary }
}

/// States and reasons as the words that everybody uses.
mod words {
    pub(super) mod state {
        use job_core::JobState;
        use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

        pub(crate) fn serialize<S: Serializer>(state: &JobState, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(state.as_str())
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<JobState, D::Error> {
            let word = String::deserialize(from)?;
            JobState::from_word(&word).ok_or_else(|| D::Error::custom("no such state"))
        }
    }

    pub(super) mod reason {
        use job_core::DeadReason;
        use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

        pub(crate) fn serialize<S: Serializer>(
            reason: &Option<DeadReason>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            reason.map(DeadReason::as_str).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<DeadReason>, D::Error> {
            let word = Option::<String>::deserialize(from)?;
            word.map(|w| DeadReason::from_word(&w).ok_or_else(|| D::Error::custom("no such reason")))
                .transpose()
        }
    }
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
