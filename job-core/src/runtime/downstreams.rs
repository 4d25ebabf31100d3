//! What attempts say about the downstream behind a limit: a limit is closed when it seems to be down, and adapts to what it takes.

use super::shared::{Env, QueueShared};
use crate::Kind;
use crate::job::JobSpec;
use crate::limits::{Breaker, Limit, LimitName, LimitStep};
use crate::seeded_bug;
use crate::verdict::{DeadReason, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How many successes for each job that may run make room for one more.
const SUCCESSES: u32 = 10;

#[derive(Debug)]
struct Downstream {
    limit: LimitName,
    circuit: Option<Circuit>,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Circuit {
    breaker: Breaker,
    failures: AtomicU32,
}

/// How many may run at one time, as far as this process knows, and what has gone well since something failed.
#[derive(Debug)]
struct Pace {
    now: AtomicU32,
    successes: AtomicU32,
    /// A call is on its way: nothing waits for it, and one at a time is enough.
    raising: AtomicBool,
    lowering: AtomicBool,
}

impl Downstream {
    fn new(name: &str, limit: &Limit) -> Option<Self> {
        let rule = limit.rule().ok()?;
        let circuit = limit.get_breaker().map(|breaker| Circuit { breaker, failures: AtomicU32::new(0) });
        // The store may have come down to this; the answer to a step that comes too early tells.
        let pace = rule.adaptive_min.map(|now| Pace {
            now: AtomicU32::new(now),
            successes: AtomicU32::new(0),
            raising: AtomicBool::new(false),
            lowering: AtomicBool::new(false),
        });
        let watched = circuit.is_some() || pace.is_some();
        Some(Self { limit: LimitName::new(name).ok()?, circuit, pace }).filter(|_| watched)
    }
}

/// Those behind the limits that each kind is under, as far as they are watched; none for most.
#[derive(Debug, Default)]
pub(crate) struct Downstreams(HashMap<Kind, Vec<Arc<Downstream>>>);

impl Downstreams {
    pub(super) fn new<'a>(
        limits: impl Iterator<Item = (&'a str, &'a Limit)>,
        kinds: impl Iterator<Item = (&'a Kind, &'a JobSpec)>,
    ) -> Self {
        let watched: HashMap<LimitName, Arc<Downstream>> = limits
            .filter_map(|(name, limit)| Downstream::new(name, limit))
            .map(|downstream| (downstream.limit.clone(), Arc::new(downstream)))
            .collect();
        let of = |(kind, spec): (&Kind, &JobSpec)| {
            let of_kind: Vec<_> = spec.limits.names.iter().filter_map(|n| watched.get(n).cloned()).collect();
            (kind.clone(), of_kind)
        };
        Self(kinds.map(of).filter(|(_, of_kind)| !of_kind.is_empty()).collect())
    }

    /// An attempt has ended whose job was not claimed before `asked`.
    pub(super) fn ended(&self, queue: &QueueShared, kind: &Kind, verdict: &Verdict, asked: Instant) {
        let Some(of_kind) = self.0.get(kind) else { return };
        let failed = match verdict {
            Verdict::Complete | Verdict::Keep(_) => false,
            Verdict::Dead { reason: DeadReason::Undecodable | DeadReason::Expired, .. } => return,
            Verdict::Retry { .. } | Verdict::Dead { .. } => true,
            _ => return,
        };
        // Whoever refuses a job for good was well enough to look at it.
        let permanent = matches!(verdict, Verdict::Dead { reason: DeadReason::Permanent, .. });
        for downstream in of_kind {
            if let Some(circuit) = &downstream.circuit {
                circuit.ended(queue, &downstream.limit, failed);
            }
            let Some(pace) = downstream.pace.as_ref().filter(|_| !permanent) else { continue };
            let tells = if failed { pace.lowers() } else { pace.raises() };
            if tells {
                adapt(queue, downstream, failed.then_some(asked));
            }
        }
    }
}

impl Circuit {
    fn ended(&self, queue: &QueueShared, limit: &LimitName, failed: bool) {
        if !failed {
            self.failures.store(0, Ordering::Relaxed);
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= self.breaker.failures && !seeded_bug!("breaker_never_opens") {
            close(queue, limit.clone(), self.breaker.period, failures);
        }
    }
}

impl Pace {
    /// True if a failure is to be told.
    fn lowers(&self) -> bool {
        self.successes.store(0, Ordering::Relaxed);
        !self.lowering.swap(true, Ordering::AcqRel) && !seeded_bug!("adapt_never_lowers")
    }

    /// True if this success makes room for one more.
    fn raises(&self) -> bool {
        let successes = self.successes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let enough = self.now.load(Ordering::Relaxed).saturating_mul(SUCCESSES);
        if successes < enough
            || seeded_bug!("adapt_never_raises")
            || self.raising.swap(true, Ordering::AcqRel)
        {
            return false;
        }
        self.successes.store(0, Ordering::Relaxed);
        true
    }

    /// A call has ended, with what may run now.
    fn stepped(&self, lowered: bool, now: Option<u32>) {
        if let Some(now) = now {
            self.now.store(now, Ordering::Relaxed);
        }
        let on_its_way = if lowered { &self.lowering } else { &self.raising };
        on_its_way.store(false, Ordering::Release);
    }
}

/// Tells the store, from a task of its own: the verdict must not wait for it.
fn adapt(queue: &QueueShared, downstream: &Arc<Downstream>, failed: Option<Instant>) {
    let (env, downstream) = (Arc::clone(&queue.env), Arc::clone(downstream));
    queue.tasks.spawn(async move {
        let Some(pace) = &downstream.pace else { return };
        let (limit, before) = (&downstream.limit, pace.now.load(Ordering::Relaxed));
        // As late as can be: the store counts from when it is told.
        let step = failed.map_or(LimitStep::Raise, |asked| LimitStep::Lower { claimed: asked.elapsed() });
        let answer = env.adapt_limit(limit, step).await;
        pace.stepped(failed.is_some(), answer.as_ref().ok().copied().flatten());
        match answer {
            Ok(Some(now)) if now < before => {
                tracing::info!(%limit, before, now, "limit lowered: what is behind it fails")
            }
            Ok(now) => tracing::debug!(%limit, ?now, "limit adapted"),
            Err(error) => tracing::warn!(%limit, %error, "limit could not be adapted"),
        }
    });
}

/// Tells the store, as well.
fn close(queue: &QueueShared, limit: LimitName, period: Duration, failures: u32) {
    let env: Arc<Env> = Arc::clone(&queue.env);
    // Before the job that has failed is followed by one that was taken ahead.
    env.limit_closes();
    queue.tasks.spawn(async move {
        match env.close_limit(&limit, period).await {
            Ok(()) => tracing::warn!(%limit, failures, ?period, "limit closed: what is behind it fails"),
            Err(error) => {
                tracing::warn!(%limit, %error, "limit could not be closed although what is behind it fails")
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_successes_a_slot_raise_and_a_failure_forgets_them() {
        let limit = Limit::concurrency(3).adaptive(2);
        let downstream = Downstream::new("search", &limit).expect("it adapts");
        let pace = downstream.pace.expect("it adapts");
        let asked = |n: usize| (0..n).filter(|_| pace.raises()).count();
        assert_eq!(asked(19), 0);
        assert!(pace.lowers());
        assert!(!pace.lowers(), "one call at a time");
        pace.stepped(true, Some(2));
        assert_eq!(asked(19), 0, "those before the failure do not count");
        assert_eq!(asked(1), 1);
        assert_eq!(asked(30), 0, "one call at a time");
        pace.stepped(false, Some(3));
        assert!(pace.lowers());
        assert!(Downstream::new("search", &Limit::concurrency(2)).is_none(), "nothing to watch");
    }
}
