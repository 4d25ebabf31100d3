//! How a queue's core tells the store what has ended.

use super::QueueCore;
use crate::LeaseId;
use crate::seeded_bug;
use crate::verdict::{Settled, Settlement};
use std::sync::Arc;

impl QueueCore {
    pub(super) fn take_verdicts(&mut self) -> Arc<Vec<Settlement>> {
        let n = self.verdicts.len();
        let rest = if n <= self.config.batch_max {
            // As many as now will come again.
            Vec::with_capacity(n)
        } else {
            self.verdicts.split_off(self.config.batch_max)
        };
        let taken = std::mem::replace(&mut self.verdicts, rest);
        self.frees &= !self.verdicts.is_empty();
        Arc::new(taken)
    }

    /// The next verdicts to send without a claim.
    pub(crate) fn plan_settle(&mut self, retry: bool) -> Option<Arc<Vec<Settlement>>> {
        self.settler_nudged = false;
        self.settle_paused &= !retry;
        if self.verdicts.is_empty() || self.settle_call.is_some() || self.settle_paused {
            return None;
        }
        self.settle_frees = self.frees;
        let settlements = self.take_verdicts();
        self.settle_call = Some(Arc::clone(&settlements));
        Some(settlements)
    }

    pub(crate) fn settle_done(&mut self, settled: &[Settled]) {
        if let Some(settlements) = self.settle_call.take() {
            self.apply_settled(&settlements, settled);
            // A claim under way may not have seen it.
            if self.settle_frees && !seeded_bug!("settled_room_unseen") {
                self.freed();
            }
        }
    }

    /// A job no longer needs a slot of a limit, if it had one.
    pub(super) fn freed(&mut self) {
        self.frees = true;
        self.hungry |= self.retry_in.is_some() && !seeded_bug!("limits_wait_for_polls");
    }

    pub(crate) fn settle_failed(&mut self) {
        self.settle_paused = true;
        if let Some(settlements) = self.settle_call.take()
            && !seeded_bug!("settle_failure_drops_verdicts")
        {
            self.put_back(&settlements);
        }
    }

    pub(super) fn apply_settled(&mut self, settlements: &[Settlement], settled: &[Settled]) {
        debug_assert_eq!(settlements.len(), settled.len(), "C9");
        for (settlement, answer) in settlements.iter().zip(settled) {
            if *answer == Settled::Stale {
                tracing::warn!(job = %settlement.hold.job, "a verdict was refused: its lease had ended, the job runs again elsewhere");
            }
            self.forget(settlement.hold.lease);
        }
    }

    pub(super) fn put_back(&mut self, settlements: &[Settlement]) {
        let newer = std::mem::replace(&mut self.verdicts, settlements.to_vec());
        self.verdicts.extend(newer);
        self.frees |= !settlements.is_empty();
    }

    /// One job of the lease is no longer ours to settle.
    pub(super) fn forget(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.unsettled = lease.unsettled.saturating_sub(1);
            if lease.unsettled == 0 {
                if lease.suspect {
                    self.suspects.ended();
                }
                self.leases.remove(&id);
            }
        }
    }
}
