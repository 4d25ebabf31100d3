//! How a queue's core starts jobs that it has claimed.

use super::{QueueCore, Start};
use crate::seeded_bug;
use crate::verdict::{Settlement, Verdict};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl QueueCore {
    /// Every job that can start now.
    pub(crate) fn start_all(&mut self, now: Instant) -> Vec<Start> {
        if self.stopping {
            return Vec::new();
        }
        std::iter::from_fn(|| self.start_next(now)).collect()
    }

    /// The next job to start. One whose lease is past its best waits until the lease has been extended: the lease keeper
    /// looks every third of a lease, and must find a handler in time to stop it.
    pub(super) fn start_next(&mut self, now: Instant) -> Option<Start> {
        let fresh = self.config.lease_for * 3 / 5;
        let mut at = 0;
        let concurrency = self.config.concurrency + usize::from(seeded_bug!("concurrency_exceeded"));
        while self.slots.running() < concurrency {
            let (left, clock, asked, shares) = match self.leases.get(&self.backlog.get(at)?.hold.lease) {
                Some(lease) => {
                    let left = lease.ends.saturating_duration_since(now);
                    (left, lease.clock, lease.asked, lease.shared.is_some())
                }
                None => (Duration::ZERO, None, now, false),
            };
            let left = if seeded_bug!("ended_lease_started") { self.config.lease_for } else { left };
            if left > self.margin() && left < fresh {
                at += 1;
                continue;
            }
            let job = self.backlog.remove(at)?;
            if left <= self.margin() {
                self.tell(Settlement::new(job.hold, Verdict::Release));
                self.make_room(now, job.hold.lease, &job.kind);
                continue;
            }
            let stop = CancellationToken::new();
            let watched = (shares || self.retry_in.is_some()).then(|| (job.kind.clone(), now));
            let slot = self.slots.start(job.hold, stop.clone(), watched);
            return Some(Start { slot, job, stop, clock, asked });
        }
        None
    }
}
