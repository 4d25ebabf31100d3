//! Jobs that are too late: not started within their ttl, or past their deadline. Only the store's clock decides. What it said
//! came with the claim; since then the time that has passed in this process is added.

use super::bounded::bounded;
use super::execution::Ended;
use super::shared::QueueShared;
use crate::backend::ClaimedJob;
use crate::lifetime::{deadline, later, ttl_end};
use crate::seeded_bug;
use crate::verdict::{DeadReason, ErrorReport, Verdict};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// What the store's clock said. It was heard after it was read, so the time that it gives is never ahead of the store's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreClock {
    pub(super) said: Timestamp,
    pub(super) heard: Instant,
}

impl StoreClock {
    fn at(self, now: Instant) -> Timestamp {
        if seeded_bug!("expiry_by_local_clock") {
            return Timestamp::now();
        }
        later(self.said, now.saturating_duration_since(self.heard))
    }
}

/// What a job has missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    Ttl,
    Deadline,
}

impl Missed {
    // Without times, so that equal failures have equal fingerprints.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Ttl => "expired: it was not started within its ttl",
            Self::Deadline => "expired: its deadline has passed",
        }
    }
}

/// The ends of one attempt's job.
#[derive(Debug)]
pub(super) struct Expiry {
    clock: StoreClock,
    /// By when it has to have started, as long as no attempt of it counts.
    ttl_end: Option<Timestamp>,
    deadline: Option<Timestamp>,
}

impl Expiry {
    /// Nothing for a job that is never too late, and for a store that does not tell its time.
    pub(super) fn of(job: &ClaimedJob, clock: Option<StoreClock>) -> Option<Self> {
        let clock = clock.filter(|_| !job.headers.is_empty())?;
        let ttl_end = if job.attempt > 1 { None } else { ttl_end(&job.headers, job.enqueued_at) };
        let deadline = deadline(&job.headers);
        (ttl_end.is_some() || deadline.is_some()).then_some(Self { clock, ttl_end, deadline })
    }

    /// It has started once, so its ttl is over.
    pub(super) fn has_started(&mut self) {
        self.ttl_end = None;
    }

    /// Whether it is too late to start it.
    pub(super) fn missed(&self, now: Instant) -> Option<Missed> {
        let at = self.clock.at(now);
        let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= at);
        if seeded_bug!("expiry_ignored") {
            return None;
        }
        if over(self.deadline) {
            return Some(Missed::Deadline);
        }
        over(self.ttl_end).then_some(Missed::Ttl)
    }

    /// How long an attempt that starts now may run.
    pub(super) fn timeout(&self, timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        let Some(deadline) = self.deadline.filter(|_| !seeded_bug!("deadline_does_not_stop")) else {
            return timeout;
        };
        let left = Duration::try_from(deadline.duration_since(self.clock.at(now))).unwrap_or_default();
        Some(timeout.map_or(left, |timeout| timeout.min(left)))
    }

    /// A job that would come back too late does not come back.
    pub(super) fn judge(&self, verdict: Verdict, now: Instant) -> Verdict {
        let too_late = |end: Option<Timestamp>, after: Duration| {
            end.is_some_and(|end| end <= later(self.clock.at(now), after))
                && !seeded_bug!("comes_back_too_late")
        };
        let text = match &verdict {
            Verdict::Retry { after, error } if too_late(self.deadline, *after) => {
                format!("expired: its deadline comes before its next attempt: {}", error.as_str())
            }
            Verdict::Snooze { delay } if too_late(self.deadline, *delay) => {
                "expired: it was put off until after its deadline".to_owned()
            }
            Verdict::Snooze { delay } if too_late(self.ttl_end, *delay) => {
                "expired: it was put off until after its ttl".to_owned()
            }
            _ => return verdict,
        };
        tracing::error!(error = %text, "job is dead: it has expired");
        Verdict::Dead { reason: DeadReason::Expired, error: ErrorReport::new(text) }
    }
}

/// How an attempt ends before it has begun, if its job is too late.
pub(super) async fn too_late(queue: &QueueShared, job: &ClaimedJob, expiry: &mut Expiry) -> Option<Ended> {
    let missed = expiry.missed(Instant::now())?;
    // A replayed job has attempt 1 again. Its errors tell it from one that was claimed and never started.
    if missed == Missed::Ttl && job.hold.claims > 1 && !seeded_bug!("replay_expires_again") {
        let look = queue.env.backend.get(job.hold.job);
        match bounded(queue.env.timing.call_timeout, "get", look).await {
            Ok(Some(record)) if !record.errors.is_empty() => {
                expiry.has_started();
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, job = %job.hold.job, "nobody knows whether the job has started before: it is given back");
                return Some(Ended::Dropped);
            }
        }
    }
    Some(Ended::Expired(missed.text()))
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
