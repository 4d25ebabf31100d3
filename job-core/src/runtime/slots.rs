//! The jobs that run in this process.

use crate::backend::Hold;
use crate::{JobId, Kind, LeaseId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Names a running job; reused after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// Why a running job was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    Cancelled,
    LeaseLost,
    Shutdown,
}

#[derive(Debug)]
struct Running {
    hold: Hold,
    stop: CancellationToken,
    reason: Option<StopReason>,
    /// Kept for whoever wants to know when it ends.
    watched: Option<(Kind, Instant)>,
}

/// A table of running jobs with O(1) start and end.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    table: Vec<Option<Running>>,
    free: Vec<usize>,
}

impl Slots {
    pub(crate) fn running(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(crate) fn start(
        &mut self,
        hold: Hold,
        stop: CancellationToken,
        watched: Option<(Kind, Instant)>,
    ) -> Slot {
        let running = Some(Running { hold, stop, reason: None, watched });
        match self.free.pop() {
            Some(at) => {
                self.table[at] = running;
                Slot(at)
            }
            None => {
                self.table.push(running);
                Slot(self.table.len() - 1)
            }
        }
    }

    /// Frees the slot. Returns what was kept for it.
    ///
    /// # Panics
    /// If nothing runs there: a job would be settled twice.
    pub(crate) fn end(&mut self, slot: Slot) -> Option<(Kind, Instant)> {
        let running = self.table[slot.0].take().expect("a job ends once");
        self.free.push(slot.0);
        running.watched
    }

    pub(crate) fn reason(&self, slot: Slot) -> Option<StopReason> {
        self.table[slot.0].as_ref().and_then(|r| r.reason)
    }

    /// How many jobs run under it.
    pub(crate) fn stop_lease(&mut self, lease: LeaseId, reason: StopReason) -> usize {
        self.stop_where(reason, |hold| hold.lease == lease)
    }

    pub(crate) fn stop_job(&mut self, job: JobId, reason: StopReason) {
        self.stop_where(reason, |hold| hold.job == job);
    }

    pub(crate) fn stop_all(&mut self, reason: StopReason) {
        self.stop_where(reason, |_| true);
    }

    fn stop_where(&mut self, reason: StopReason, which: impl Fn(&Hold) -> bool) -> usize {
        let mut stopped = 0;
        for running in self.table.iter_mut().flatten().filter(|r| which(&r.hold)) {
            // A lost lease outweighs any other reason: it leaves the least time.
            if running.reason.is_none() || reason == StopReason::LeaseLost {
                running.reason = Some(reason);
            }
            running.stop.cancel();
            stopped += 1;
        }
        stopped
    }
}
