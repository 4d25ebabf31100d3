//! What processes write down, one line an event.

pub use super::asked::{Asked, Under};
use super::outside::Reach;
use super::point::{Action, Point};
use super::storm::Storm;
use job_core::{
    Claim, DeadReason, Extended, Hold, JobId, LeaseId, LeaseStatus, Maintained, Settled, Verdict,
};
use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Nanoseconds of the machine's monotonic clock, the same for all processes.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// Something that a process did or heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The process started.
    Boot {
        /// Its process id.
        pid: u32,
    },
    /// About to enqueue.
    EnqueueSent {
        /// Counts the calls of the process.
        call: u64,
        /// The jobs.
        jobs: Vec<Asked>,
    },
    /// The store has them.
    EnqueueAcked {
        /// The call.
        call: u64,
        /// The job that stands for each request.
        answers: Vec<Answer>,
    },
    /// The enqueue failed.
    EnqueueFailed {
        /// The call.
        call: u64,
        /// True if the jobs may be stored all the same.
        unknown: bool,
    },
    /// A claim was answered.
    Claimed {
        /// When the request was first sent.
        sent: u64,
        /// The jobs.
        holds: Vec<Held>,
        /// If some were taken ahead of a limit: how many run at a time.
        #[serde(default)]
        slots: Option<u32>,
    },
    /// The handler began.
    Started {
        /// The right to the job.
        held: Held,
        /// The number in its arguments.
        n: u64,
        /// Which attempt.
        attempt: u32,
    },
    /// The handler asked for the checkpoint of earlier attempts.
    Resumed {
        /// The right to the job.
        held: Held,
        /// What it got.
        found: Option<u64>,
    },
    /// The store said that it has this checkpoint.
    Saved {
        /// The right to the job.
        held: Held,
        /// What it is.
        value: u64,
    },
    /// About to send a note to the store.
    Noting {
        /// The right to the job.
        held: Held,
        /// Its name.
        name: String,
    },
    /// An effect is under way: about to call the other side.
    Calling {
        /// The right to the job.
        held: Held,
    },
    /// The handler wants this job to come with its completion.
    Announced {
        /// The right to the job.
        held: Held,
        /// The other job.
        child: Asked,
    },
    /// About to commit a transaction that completes the job.
    Committing {
        /// The right to the job.
        held: Held,
    },
    /// It was committed.
    Committed {
        /// The right to the job.
        held: Held,
    },
    /// The handler did what the job is for.
    Effect {
        /// The right to the job.
        held: Held,
    },
    /// The handler is about to return.
    Ended {
        /// The right to the job.
        held: Held,
        /// What it returns.
        outcome: Outcome,
    },
    /// About to settle.
    SettleSent {
        /// Counts the calls of the process.
        call: u64,
        /// The verdicts.
        verdicts: Vec<Sent>,
    },
    /// The store answered verdicts.
    SettleAnswered {
        /// The call.
        call: u64,
        /// One answer each.
        answers: Vec<Answered>,
    },
    /// The settle failed.
    SettleFailed {
        /// The call.
        call: u64,
        /// True if the verdicts may be applied all the same.
        unknown: bool,
    },
    /// Maintenance found something to do.
    Maintained {
        /// Leases that were ended.
        reaped: u64,
        /// Jobs that came back from them.
        returned: u64,
        /// Jobs that went dead for killing their process.
        poisoned: u64,
        /// Jobs that were stranded: a bug.
        repaired: u64,
    },
    /// Leases were extended.
    Extended {
        /// How many still hold.
        held: u64,
        /// How many do not.
        stale: u64,
    },
    /// Somebody who looked into the store saw that this right is over.
    Over {
        /// The right.
        held: Held,
    },
    /// Killed from outside, wherever it was.
    Killed {
        /// The name of the process.
        name: String,
    },
    /// Something was done to the server or the network; it is over now.
    Storm {
        /// What.
        what: Storm,
        /// When it began.
        began: u64,
    },
    /// About to be killed, frozen or cut off here.
    Reached {
        /// Where.
        point: Point,
        /// What comes.
        action: Action,
        /// The call of [`Event::SettleSent`] or [`Event::EnqueueSent`] that was stopped before it was sent.
        unsent: Option<u64>,
    },
}

impl Event {
    /// A claim that was first sent then was answered with jobs.
    pub(crate) fn claimed(sent: u64, claim: &Claim) -> Self {
        let holds = claim.jobs.iter().map(|job| (&job.hold).into()).collect();
        Self::Claimed { sent, holds, slots: claim.ahead.as_ref().map(|ahead| ahead.slots) }
    }

    /// An extension was answered.
    pub(crate) fn extended(answer: &Extended) -> Self {
        let count = |status| answer.leases.iter().filter(|s| **s == status).count() as u64;
        Self::Extended { held: count(LeaseStatus::Held), stale: count(LeaseStatus::Stale) }
    }

    /// Maintenance was answered, if it found something to do.
    pub(crate) fn maintained(done: &Maintained) -> Option<Self> {
        let something = done.leases_reaped + done.jobs_returned + done.poisoned + done.repaired > 0;
        something.then_some(Self::Maintained {
            reaped: done.leases_reaped,
            returned: done.jobs_returned,
            poisoned: done.poisoned,
            repaired: done.repaired,
        })
    }
}

/// How a request to enqueue was answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The job that was sent.
    pub asked: JobId,
    /// The job that stands for it.
    pub job: JobId,
    /// True if the store says that the key was taken.
    pub deduplicated: bool,
}

/// The right to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The job.
    pub job: JobId,
    /// How often it has been claimed.
    pub claims: u64,
    /// The lease.
    pub lease: LeaseId,
}

impl From<&Hold> for Held {
    fn from(hold: &Hold) -> Self {
        Self { job: hold.job, claims: hold.claims, lease: hold.lease }
    }
}

/// A verdict on its way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The right under which the job ran.
    pub held: Held,
    /// What becomes of it.
    pub word: Word,
}

/// What a handler does with its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Conduct {
    /// Succeeds at once.
    Quick,
    /// Takes longer than a lease, then succeeds.
    Slow,
    /// Fails twice, then succeeds.
    FailsTwice,
    /// Panics on its first attempt, then succeeds.
    PanicsOnce,
    /// Fails for good.
    Hopeless,
    /// Asks to run later when it is first claimed, then succeeds.
    Snoozes,
    /// Does something to the world outside.
    Outside(Reach),
}

impl Conduct {
    /// Every conduct within the system.
    pub const ALL: [Self; 6] =
        [Self::Quick, Self::Slow, Self::FailsTwice, Self::PanicsOnce, Self::Hopeless, Self::Snoozes];

    /// What a handler of this conduct returns in this attempt, when its job has been claimed so often.
    #[must_use]
    pub fn outcome(self, attempt: u32, claims: u64) -> Outcome {
        match self {
            Self::FailsTwice if attempt <= 2 => Outcome::Failed,
            Self::PanicsOnce if attempt == 1 => Outcome::Failed,
            // The next attempt gets the result that was kept.
            Self::Outside(Reach::AtMostOnce) if attempt == 1 => Outcome::Failed,
            Self::Hopeless => Outcome::Permanent,
            Self::Snoozes if claims == 1 => Outcome::Snoozed,
            _ => Outcome::Ok,
        }
    }
}

/// What a handler returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Success.
    Ok,
    /// An error that may pass, or a panic.
    Failed,
    /// An error that will not.
    Permanent,
    /// Nobody knows whether an effect has happened.
    InDoubt,
    /// A wish to run later.
    Snoozed,
}

/// The word of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// Done.
    Complete,
    /// Again, not before this many milliseconds.
    Retry(u64),
    /// Later, not before this many milliseconds.
    Snooze(u64),
    /// Given back.
    Release,
    /// Cancelled.
    Cancel,
    /// Into the dead-letter queue, because the handler said so.
    DeadPermanent,
    /// Into the dead-letter queue, because nobody knows whether an effect has happened.
    DeadInDoubt,
    /// Into the dead-letter queue for another reason.
    DeadOther,
}

impl Word {
    /// The word of a verdict.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let ms = |d: &std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        match verdict {
            Verdict::Complete | Verdict::Keep(_) => Self::Complete,
            Verdict::Retry { after, .. } => Self::Retry(ms(after)),
            Verdict::Snooze { delay } => Self::Snooze(ms(delay)),
            Verdict::Release => Self::Release,
            Verdict::Dead { reason: DeadReason::Permanent, .. } => Self::DeadPermanent,
            Verdict::Dead { reason: DeadReason::EffectInDoubt, .. } => Self::DeadInDoubt,
            Verdict::Dead { .. } => Self::DeadOther,
            _ => Self::Cancel,
        }
    }

    /// True if the job has ended with it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Cancel | Self::DeadPermanent | Self::DeadInDoubt | Self::DeadOther
        )
    }

    /// How long the job stays away, in milliseconds.
    #[must_use]
    pub fn pause_ms(self) -> u64 {
        match self {
            Self::Retry(ms) | Self::Snooze(ms) => ms,
            _ => 0,
        }
    }
}

/// The answer to a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    /// It took effect.
    Applied,
    /// It had taken effect before.
    AlreadyApplied,
    /// It was refused.
    Stale,
}

impl From<Settled> for Answered {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Applied => Self::Applied,
            Settled::AlreadyApplied => Self::AlreadyApplied,
            Settled::Stale => Self::Stale,
        }
    }
}
