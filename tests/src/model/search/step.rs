//! What can happen next: calls with their faults, time, deaths. Small enough to keep one for every state found.

use crate::model::call::{Ask, Call, Conflict, End, Ending, New, Number, Span};
use std::fmt;

/// The jobs and the workers of a search.
pub(super) const JOBS: usize = 2;
pub(super) const WORKERS: usize = 2;

/// Every lease, extension and delay lasts half a unit, so the next whole unit is past its end.
pub(super) const LASTS: Span = Span(0);
/// Both jobs may run twice, and are poisoned by the third crash: all of it happens within nine steps.
pub(super) const ATTEMPTS: u32 = 2;
pub(super) const POISON_LIMIT: u32 = 3;

/// A call that may go wrong on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    /// The jobs, as bits.
    Enqueue(u8),
    /// Suspects come under the lease after this one.
    Claim {
        lease: u8,
        limit: u8,
        suspects: bool,
    },
    Settle {
        job: u8,
        lease: u8,
        ending: Ending,
    },
    /// At most three leases; those not there are `NO_LEASE`.
    Extend([u8; 3]),
}

pub(super) const NO_LEASE: u8 = u8::MAX;

/// Everything that the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Request(Request),
    Maintain,
    Cancel(u8),
    Replay(u8),
    Discard(u8),
}

/// What becomes of a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// Applied, but the caller does not learn it.
    Lost,
    /// The caller gives up waiting; it is applied at some later time, or never.
    Late,
    /// Applied and answered, and applied again at some later time, or never.
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Producer,
    Worker(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Send(Caller, Request, Fate),
    /// The request whose outcome the caller does not know, once more.
    Repeat(Caller, Fate),
    /// A late request arrives.
    Arrive(u8),
    /// A unit passes: every lease that nobody extends in it is over.
    Pass,
    /// A unit passes and the store is maintained.
    PassAndMaintain,
    Maintain,
    /// A worker dies, and starts again with nothing.
    Crash(u8),
    Cancel(u8),
    Replay(u8),
    Discard(u8),
}

/// An event, and which of two jobs with equal rights a claim in it takes: the first, or the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) event: Event,
    pub(super) other: bool,
}

impl Fate {
    /// True if the request, or a copy of it, is on its way afterwards.
    pub(super) fn is_late(self) -> bool {
        matches!(self, Self::Late | Self::Twice)
    }
}

impl Request {
    pub(super) fn call(self, unique: bool) -> Call {
        match self {
            Self::Enqueue(_) => Call::Enqueue(self.jobs(unique)),
            Self::Claim { .. } => Call::Claim(self.ask()),
            Self::Settle { .. } => Call::Settle(vec![self.end()]),
            Self::Extend(_) => Call::Extend { leases: self.leases(), lasts: LASTS },
        }
    }

    pub(super) fn jobs(self, unique: bool) -> Vec<New> {
        let Self::Enqueue(bits) = self else { return Vec::new() };
        let jobs = (0..JOBS).filter(|job| bits & (1 << job) != 0);
        jobs.map(|job| New {
            batch: None,
            job,
            kind: 0,
            priority: 5,
            max_attempts: ATTEMPTS,
            delay: None,
            idempotency: None,
            unique: unique.then_some(0),
            conflict: Conflict::Existing,
        })
        .collect()
    }

    pub(super) fn ask(self) -> Ask {
        let Self::Claim { lease, limit, suspects } = self else { unreachable!("only claims are asked for") };
        Ask {
            lease: lease.into(),
            kinds: vec![0],
            limit: limit.into(),
            lasts: LASTS,
            suspect_leases: if suspects { vec![Number::from(lease) + 1] } else { Vec::new() },
            solo: suspects,
        }
    }

    pub(super) fn end(self) -> End {
        let Self::Settle { job, lease, ending } = self else { unreachable!("only settlements end jobs") };
        End { job: job.into(), lease: lease.into(), ending, follow_ups: Vec::new(), batch: None }
    }

    pub(super) fn leases(self) -> Vec<Number> {
        let Self::Extend(leases) = self else { return Vec::new() };
        leases.into_iter().filter(|lease| *lease != NO_LEASE).map(Number::from).collect()
    }
}

impl Asked {
    pub(super) fn call(self, unique: bool) -> Call {
        match self {
            Self::Request(request) => request.call(unique),
            Self::Maintain => Call::Maintain { reap: true, poison_limit: POISON_LIMIT, dead_kept: None },
            Self::Cancel(job) => Call::Cancel(job.into()),
            Self::Replay(job) => Call::Replay(vec![job.into()]),
            Self::Discard(job) => Call::Discard(vec![job.into()]),
        }
    }
}

impl fmt::Display for Event {
    /// What it is without the state that it happens in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(caller, _, fate) => write!(f, "{caller}: {{}}{fate}"),
            Self::Repeat(caller, fate) => write!(f, "{caller}, again: {{}}{fate}"),
            Self::Arrive(_) => f.write_str("{}, which was late"),
            Self::Pass => f.write_str("1 unit passes"),
            Self::PassAndMaintain => f.write_str("1 unit passes, {}"),
            Self::Crash(worker) => write!(f, "w{worker} dies"),
            Self::Maintain | Self::Cancel(_) | Self::Replay(_) | Self::Discard(_) => f.write_str("{}"),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer => f.write_str("producer"),
            Self::Worker(worker) => write!(f, "w{worker}"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "",
            Self::Lost => "; its answer is lost",
            Self::Late => "; it is late",
            Self::Twice => "; a copy of it is late",
        })
    }
}

/// A number for each ending.
pub(super) fn ending_number(ending: Ending) -> u64 {
    match ending {
        Ending::Complete => 0,
        Ending::Retry(_) => 1,
        Ending::Snooze(_) => 2,
        Ending::Release => 3,
        Ending::Cancel => 4,
        Ending::Dead => 5,
        Ending::Keep => 6,
    }
}
