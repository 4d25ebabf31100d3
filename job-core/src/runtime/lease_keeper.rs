//! LeaseKeeper: extends the leases of one queue until the last handler has ended, and stops handlers whose lease this
//! process can no longer count on.
//! Owns: nothing. Restarted by: its QueueSupervisor. Never: waits longer than a quarter of a lease.
//!
//! The keepers of a runtime share a thread that runs nothing else, so that handlers which never wait cannot stop them.
//! Only on a current-thread runtime they live among the handlers, where such a handler stops everything.

use super::bounded::bounded_by;
use super::seat::Seated;
use super::shared::QueueShared;
use crate::LeaseId;
use crate::fault_point;
use futures_util::future::join_all;
use ractor::{ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) enum KeeperMsg {
    /// The timer, or a lease that became known late.
    Tick,
}

pub(crate) struct LeaseKeeper;

pub(crate) struct KeeperState {
    queue: Arc<QueueShared>,
    _seat: Seated,
    timer: Option<JoinHandle<Result<(), ractor::MessagingErr<KeeperMsg>>>>,
    failing: bool,
}

/// The most leases in one call.
const LEASES_PER_CALL: usize = 1_000;

#[ractor::actor(message = KeeperMsg, state = KeeperState, arguments = Arc<QueueShared>)]
impl LeaseKeeper {
    async fn pre_start(
        &self,
        myself: ActorRef<KeeperMsg>,
        queue: Arc<QueueShared>,
    ) -> Result<KeeperState, ActorProcessingErr> {
        let seat = queue.seats.keeper.take().await?;
        queue.set_keeper(myself.clone());
        let _ = myself.cast(KeeperMsg::Tick);
        Ok(KeeperState { queue, _seat: seat, timer: None, failing: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<KeeperMsg>,
        _message: KeeperMsg,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        let _ = fault_point!(state.queue.name.as_str(), "keeper.tick");
        let wait = state.tick().await;
        let _ = fault_point!(state.queue.name.as_str(), "keeper.extended");
        if let Some(timer) = state.timer.replace(myself.send_after(wait, || KeeperMsg::Tick)) {
            timer.abort();
        }
        Ok(())
    }
}

impl KeeperState {
    /// Extends every lease once. Returns when to do it again.
    async fn tick(&mut self) -> Duration {
        let lease_for = self.queue.env.timing.lease_for;
        let now = Instant::now();
        let (leases, fence_at) = {
            let mut core = self.queue.core();
            (core.leases(), core.fence(now))
        };
        // Whatever the store does, nobody counts on a lease for longer than it lasts.
        let patience = now + lease_for / 4;
        let by = fence_at.map_or(patience, |at| at.min(patience));
        let parts = leases.chunks(LEASES_PER_CALL).map(|part| self.extend(part, by));
        let failed = join_all(parts).await.contains(&false);
        if self.failing && !failed {
            tracing::info!(queue = %self.queue.name, "leases are extended again");
        }
        self.failing = failed;
        let now = Instant::now();
        let (fence_at, starts, nudge) = {
            let mut core = self.queue.core();
            (core.fence(now), core.start_all(now), core.nudge())
        };
        self.queue.spawn(starts);
        self.queue.tell(nudge);
        let wait = if failed { lease_for / 12 } else { lease_for / 3 };
        let wait = self.queue.env.chance.shorten(wait, 80);
        fence_at.map_or(wait, |at| wait.min(at.saturating_duration_since(now)))
    }

    /// Extends these leases if the store answers in time.
    async fn extend(&self, leases: &[LeaseId], by: Instant) -> bool {
        let env = &self.queue.env;
        let sent = Instant::now();
        let call = env.backend.extend(&self.queue.name, leases, env.timing.lease_for);
        match bounded_by(by, "extend", call).await {
            Ok(answer) => {
                let nudge = {
                    let mut core = self.queue.core();
                    core.extended(sent, leases, &answer);
                    core.nudge()
                };
                self.queue.tell(nudge);
                true
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(queue = %self.queue.name, %error, "leases cannot be extended");
                }
                false
            }
        }
    }
}
