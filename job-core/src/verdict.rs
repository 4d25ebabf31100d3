//! What becomes of a job after an attempt.

use crate::backend::Hold;
use crate::new_job::NewJob;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The right under which the job ran.
    pub hold: Hold,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Jobs to enqueue if, and only if, the verdict is applied; in the same step.
    pub follow_ups: Vec<NewJob>,
}

impl Settlement {
    /// A verdict without follow-up jobs.
    #[must_use]
    pub fn new(hold: Hold, verdict: Verdict) -> Self {
        Self { hold, verdict, follow_ups: Vec::new() }
    }
}

/// What becomes of a job after an attempt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Done.
    Complete,
    /// Done, and the job stays to be looked at.
    Keep(Box<Kept>),
    /// Failed: run again after this long; dead (`Exhausted`) if no attempt is left.
    Retry {
        /// The delay, jitter applied.
        after: Duration,
        /// What went wrong.
        error: ErrorReport,
    },
    /// Not now: run again after this long; the attempt does not count.
    Snooze {
        /// The delay.
        delay: Duration,
    },
    /// Given back without a result: ready at once, ahead of others of its priority; the attempt does not count.
    Release,
    /// Cancelled, at the handler's word.
    Cancel,
    /// Failed for good.
    Dead {
        /// Why.
        reason: DeadReason,
        /// What went wrong.
        error: ErrorReport,
    },
}

/// How a completed job stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// For how long, by the store's clock; then maintenance deletes it.
    pub period: Duration,
    /// What the handler returned, as JSON; stored as a note ([`Note::RESULT`](crate::Note::RESULT)).
    pub result: Option<Bytes>,
}

impl Verdict {
    /// True if the job is done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete | Self::Keep(_))
    }
}

/// Why a job is in the dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// No attempt is left.
    Exhausted,
    /// The handler said that it can never work.
    Permanent,
    /// Its arguments cannot be read.
    Undecodable,
    /// It killed its process too often.
    Poisoned,
    /// Nobody knows whether one of its effects has happened, and it must not happen twice.
    EffectInDoubt,
    /// It was not started within its ttl, or its deadline has passed.
    Expired,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Exhausted,
        Self::Permanent,
        Self::Undecodable,
        Self::Poisoned,
        Self::EffectInDoubt,
        Self::Expired,
    ];

    /// The word for it, in stores and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::Undecodable => "undecodable",
            Self::Poisoned => "poisoned",
            Self::EffectInDoubt => "effect_in_doubt",
            Self::Expired => "expired",
        }
    }

    /// The reason with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text of a failure, safe to store anywhere: no NUL, at most [`ErrorReport::BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport(String);

impl ErrorReport {
    /// The most bytes kept: 8 KiB.
    pub const BYTES_MAX: usize = 8 * 1024;

    /// Keeps what can be stored of `text`: NUL bytes become `\0` in letters, the end of a long text is cut.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        let mut text = text.as_ref().replace('\0', "\\0");
        if text.len() > Self::BYTES_MAX {
            let mut end = Self::BYTES_MAX - '…'.len_utf8();
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer to one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It took effect now.
    Applied,
    /// The same lease has settled the job before; nothing changed.
    AlreadyApplied,
    /// The lease is no longer current; nothing changed.
    Stale,
}
