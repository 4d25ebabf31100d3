//! Closes a limit when what is behind it seems to be down: so many failures in a row.

use super::shared::QueueShared;
use crate::Kind;
use crate::job::JobSpec;
use crate::limits::{Breaker, LimitName};
use crate::seeded_bug;
use crate::verdict::{DeadReason, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
struct Circuit {
    limit: LimitName,
    breaker: Breaker,
    failures: AtomicU32,
}

/// The breakers of the limits that each kind is under; none for most.
#[derive(Debug, Default)]
pub(crate) struct Breakers(HashMap<Kind, Vec<Arc<Circuit>>>);

impl Breakers {
    pub(super) fn new<'a>(
        limits: impl Iterator<Item = (LimitName, Breaker)>,
        kinds: impl Iterator<Item = (&'a Kind, &'a JobSpec)>,
    ) -> Self {
        let circuits: HashMap<LimitName, Arc<Circuit>> = limits
            .map(|(limit, breaker)| {
                let failures = AtomicU32::new(0);
                (limit.clone(), Arc::new(Circuit { limit, breaker, failures }))
            })
            .collect();
        let of = |(kind, spec): (&Kind, &JobSpec)| {
            let of_kind: Vec<_> = spec.limits.names.iter().filter_map(|n| circuits.get(n).cloned()).collect();
            (kind.clone(), of_kind)
        };
        Self(kinds.map(of).filter(|(_, of_kind)| !of_kind.is_empty()).collect())
    }

    /// An attempt has ended.
    pub(super) fn ended(&self, queue: &QueueShared, kind: &Kind, verdict: &Verdict) {
        let Some(circuits) = self.0.get(kind) else { return };
        let failed = match verdict {
            Verdict::Complete | Verdict::Keep(_) => false,
            Verdict::Dead { reason: DeadReason::Undecodable | DeadReason::Expired, .. } => return,
            Verdict::Retry { .. } | Verdict::Dead { .. } => true,
            _ => return,
        };
        for circuit in circuits {
            if !failed {
                circuit.failures.store(0, Ordering::Relaxed);
                continue;
            }
            let failures = circuit.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            if failures >= circuit.breaker.failures && !seeded_bug!("breaker_never_opens") {
                close(queue, circuit, failures);
            }
        }
    }
}

/// Tells the store, from a task of its own: the verdict must not wait for it.
fn close(queue: &QueueShared, circuit: &Arc<Circuit>, failures: u32) {
    let (env, circuit) = (Arc::clone(&queue.env), Arc::clone(circuit));
    // Before the job that has failed is followed by one that was taken ahead.
    env.limit_closes();
    queue.tasks.spawn(async move {
        let (limit, period) = (&circuit.limit, circuit.breaker.period);
        match env.close_limit(limit, period).await {
            Ok(()) => tracing::warn!(%limit, failures, ?period, "limit closed: what is behind it fails"),
            Err(error) => {
                tracing::warn!(%limit, %error, "limit could not be closed although what is behind it fails")
            }
        }
    });
}
