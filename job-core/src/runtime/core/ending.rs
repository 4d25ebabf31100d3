//! How a queue's core comes to its end.

use super::{Nudge, QueueCore};
use crate::runtime::slots::StopReason;
use crate::seeded_bug;
use crate::verdict::{Settlement, Verdict};

impl QueueCore {
    /// No more claims; what has not started goes back.
    pub(crate) fn stop_claiming(&mut self) -> Nudge {
        self.stopping = true;
        self.release_backlog();
        self.nudge()
    }

    pub(super) fn release_backlog(&mut self) {
        if seeded_bug!("backlog_forgotten") {
            return;
        }
        let released = self.backlog.drain(..).map(|job| Settlement::new(job.hold, Verdict::Release));
        self.verdicts.extend(released);
        self.release_all_waiting();
    }

    /// Asks every handler to stop.
    pub(crate) fn cancel_all(&mut self) {
        self.slots.stop_all(StopReason::Shutdown);
    }

    pub(crate) fn running(&self) -> usize {
        self.slots.running()
    }

    /// True once nothing runs and nothing waits for the store.
    pub(crate) fn is_quiet(&self) -> bool {
        self.slots.running() == 0
            && self.backlog.is_empty()
            && self.waiting() == 0
            && self.verdicts.is_empty()
            && self.claim_call.is_none()
            && self.settle_call.is_none()
    }

    /// Jobs that this process still answers for.
    pub(crate) fn unsettled(&self) -> usize {
        self.leases.values().map(|l| l.unsettled as usize).sum()
    }
}
