//! What a case does: calls with small numbers in place of ids, readable when one fails.

use super::batches::Batch;
use std::fmt;

/// Half units of time. Calls happen at even instants and spans are odd, so nothing is ever just at its end.
pub(super) type Instant = u64;

/// A job, a lease, by its number in the case.
pub(super) type Number = usize;

/// So many units and a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) u32);

impl Span {
    /// When it ends if it starts at `from`.
    pub(super) fn after(self, from: Instant) -> Instant {
        from + 2 * u64::from(self.0) + 1
    }
}

/// A job to enqueue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct New {
    pub(super) job: Number,
    /// The first or the second of the kit's kinds.
    pub(super) kind: u8,
    pub(super) priority: u8,
    pub(super) max_attempts: u32,
    pub(super) delay: Option<Span>,
    /// Key and window.
    pub(super) idempotency: Option<(u8, Span)>,
    pub(super) unique: Option<u8>,
    pub(super) conflict: Conflict,
    /// The batch that it belongs to.
    pub(super) batch: Option<Number>,
}

/// What happens if a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    Existing,
    Error,
    Replace,
    Debounce(Span),
    Latest,
}

/// A claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) lease: Number,
    pub(super) kinds: Vec<u8>,
    pub(super) limit: u32,
    pub(super) lasts: Span,
    pub(super) suspect_leases: Vec<Number>,
    pub(super) solo: bool,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    Complete,
    /// Completes it, and keeps it longer than any case lasts.
    Keep,
    Retry(Span),
    Snooze(Span),
    Release,
    Cancel,
    Dead,
}

/// A settlement: of what this lease holds of this job, if it does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    pub(super) job: Number,
    pub(super) lease: Number,
    pub(super) ending: Ending,
    pub(super) follow_ups: Vec<New>,
    /// Follows as well.
    pub(super) batch: Option<Batch>,
}

impl End {
    /// Every job of a case that follows.
    pub(super) fn following(&self) -> impl Iterator<Item = &New> {
        self.batch.iter().flat_map(|batch| &batch.jobs).chain(&self.follow_ups)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Enqueue(Vec<New>),
    Batch(Batch),
    Claim(Ask),
    Settle(Vec<End>),
    SettleAndClaim(Vec<End>, Ask),
    Extend { leases: Vec<Number>, lasts: Span },
    Save { job: Number, lease: Number, edits: Vec<super::notes::Edit> },
    Maintain { reap: bool, poison_limit: u32, dead_kept: Option<Span> },
    Cancel(Number),
    RunNow(Number),
    Replay(Vec<Number>),
    Discard(Vec<Number>),
    Pause,
    Resume,
    PauseKind(u8),
    ResumeKind(u8),
}

impl Call {
    /// True if it matters at which instant it happens.
    pub(super) fn minds_time(&self) -> bool {
        let new = |n: &New| n.delay.is_some() || n.idempotency.is_some();
        let end = |ends: &[End]| {
            ends.iter()
                .any(|e| matches!(e.ending, Ending::Retry(_) | Ending::Snooze(_)) || e.following().any(new))
        };
        match self {
            Self::Enqueue(jobs) => jobs.iter().any(new),
            Self::Batch(batch) => batch.jobs.iter().any(new),
            Self::Settle(ends) => end(ends),
            Self::Claim(_) | Self::SettleAndClaim(..) | Self::Extend { .. } | Self::Maintain { .. } => true,
            _ => false,
        }
    }
}

/// One step of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A call. If `lost`, its answer is not looked at and the same call is made again.
    Call { call: Call, lost: bool },
    /// So many units of time pass.
    Pass(u32),
    /// A claim whose worker dies: the lease ends, and its jobs come back.
    Crash { ask: Ask, poison_limit: u32 },
    /// The whole store is compared with the model.
    Compare,
    /// The ends of members are counted, and what waited for them is run.
    Count,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.5u", self.0)
    }
}

pub(super) struct List<'a, T>(pub(super) &'a [T], pub(super) &'static str);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            write!(f, "{}{}{item}", if n > 0 { ", " } else { "" }, self.1)?;
        }
        Ok(())
    }
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == 0 { "" } else { " other" };
        write!(f, "j{}({kind} p{} max {}", self.job, self.priority, self.max_attempts)?;
        if let Some(delay) = self.delay {
            write!(f, " after {delay}")?;
        }
        if let Some((key, window)) = self.idempotency {
            write!(f, " same{key} for {window}")?;
        }
        if let Some(key) = self.unique {
            write!(f, " unique{key}")?;
        }
        match self.conflict {
            Conflict::Existing => {}
            Conflict::Debounce(most) => write!(f, " debounce {most}")?,
            other => write!(f, " {other:?}")?,
        }
        f.write_str(")")
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|k| if *k == 0 { "kind" } else { "other" }).collect();
        write!(f, "claim l{}: {} of [{}] for {}", self.lease, self.limit, kinds.join(" "), self.lasts)?;
        if !self.suspect_leases.is_empty() {
            write!(f, ", suspects {}", List(&self.suspect_leases, "l"))?;
        }
        f.write_str(if self.solo { ", solo" } else { "" })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Keep => f.write_str("complete and keep"),
            Self::Retry(span) => write!(f, "retry after {span}"),
            Self::Snooze(span) => write!(f, "snooze for {span}"),
            Self::Release => f.write_str("release"),
            Self::Cancel => f.write_str("cancel"),
            Self::Dead => f.write_str("dead"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{} of l{} {}", self.job, self.lease, self.ending)?;
        if !self.follow_ups.is_empty() {
            write!(f, " then [{}]", List(&self.follow_ups, ""))?;
        }
        self.batch.iter().try_for_each(|batch| write!(f, " then {batch}"))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueue(jobs) => write!(f, "enqueue {}", List(jobs, "")),
            Self::Batch(batch) => write!(f, "enqueue {batch}"),
            Self::Claim(ask) => write!(f, "{ask}"),
            Self::Settle(ends) => write!(f, "settle {}", List(ends, "")),
            Self::SettleAndClaim(ends, ask) => write!(f, "settle {} and {ask}", List(ends, "")),
            Self::Extend { leases, lasts } => write!(f, "extend {} for {lasts}", List(leases, "l")),
            Self::Maintain { reap, poison_limit, dead_kept } => {
                write!(f, "maintain{}", if *reap { "" } else { " without reap" })?;
                if let Some(kept) = dead_kept {
                    write!(f, ", dead jobs kept for {kept}")?;
                }
                if *poison_limit == 3 { Ok(()) } else { write!(f, ", poison limit {poison_limit}") }
            }
            Self::Save { job, lease, edits } => {
                write!(f, "save on j{job} of l{lease}:")?;
                edits.iter().try_for_each(|(name, value)| match value {
                    Some(value) => write!(f, " {name} is {value}"),
                    None => write!(f, " no {name}"),
                })
            }
            Self::Cancel(job) => write!(f, "cancel j{job}"),
            Self::RunNow(job) => write!(f, "run j{job} now"),
            Self::Replay(jobs) => write!(f, "replay {}", List(jobs, "j")),
            Self::Discard(jobs) => write!(f, "discard {}", List(jobs, "j")),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::PauseKind(kind) => write!(f, "pause kind {kind}"),
            Self::ResumeKind(kind) => write!(f, "resume kind {kind}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { call, lost: false } => write!(f, "{call}"),
            Self::Call { call, lost: true } => write!(f, "{call}; its answer is lost, so again"),
            Self::Pass(units) => write!(f, "{units} units pass"),
            Self::Crash { ask, poison_limit } => {
                write!(f, "{ask}; its worker dies and is reaped, poison limit {poison_limit}")
            }
            Self::Compare => f.write_str("compare"),
            Self::Count => f.write_str("count the ends in batches"),
        }
    }
}
