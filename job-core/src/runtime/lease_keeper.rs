//! LeaseKeeper: extends the leases of one queue until the last handler has ended, and stops handlers whose lease this
//! process can no longer count on.
//! Owns: nothing. Restarted by: its QueueSupervisor. Never: waits longer than a quarter of a lease.

use super::claimer::timed_out;
use super::shared::QueueShared;
use ractor::{ActorProcessingErr, ActorRef};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

#[derive(Debug)]
pub(crate) enum KeeperMsg {
    Tick,
}

pub(crate) struct LeaseKeeper;

pub(crate) struct KeeperState {
    queue: Arc<QueueShared>,
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
        let _ = myself.cast(KeeperMsg::Tick);
        Ok(KeeperState { queue, failing: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<KeeperMsg>,
        _message: KeeperMsg,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        let wait = state.extend().await;
        myself.send_after(wait, || KeeperMsg::Tick);
        Ok(())
    }
}

impl KeeperState {
    /// Waits for a call, and stops handlers whose lease comes near its end meanwhile.
    async fn fencing<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        loop {
            let fence_at = self.queue.core().fence(Instant::now());
            let due = async {
                match fence_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                () = due => {}
            }
        }
    }

    /// Extends every lease once. Returns when to do it again.
    async fn extend(&mut self) -> Duration {
        let env = &self.queue.env;
        let lease_for = env.timing.lease_for;
        let leases = self.queue.core().leases();
        let mut failed = false;
        for part in leases.chunks(LEASES_PER_CALL) {
            let sent = Instant::now();
            let call = timeout(lease_for / 4, env.backend.extend(&self.queue.name, part, lease_for));
            match self.fencing(call).await.unwrap_or_else(|_| Err(timed_out("extend"))) {
                Ok(answer) => {
                    let nudge = {
                        let mut core = self.queue.core();
                        core.extended(sent, part, &answer);
                        core.nudge()
                    };
                    self.queue.tell(nudge);
                }
                Err(error) => {
                    if !self.failing {
                        tracing::warn!(queue = %self.queue.name, %error, "leases cannot be extended");
                    }
                    failed = true;
                }
            }
        }
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
        let wait = env.chance.shorten(wait, 80);
        fence_at.map_or(wait, |at| wait.min(at.saturating_duration_since(now)))
    }
}
