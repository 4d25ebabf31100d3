//! Settler: sends the verdicts of one queue that no claim carries.
//! Owns: nothing but its timer. Restarted by: its QueueSupervisor. Never: fails on a transient error, drops a verdict.

use super::backoff::Backoff;
use super::bounded::bounded;
use super::seat::Seated;
use super::shared::QueueShared;
use crate::error::{BackendError, ErrorKind};
use crate::fault_point;
use ractor::{ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(crate) enum SettlerMsg {
    /// There are verdicts.
    Flush,
    /// The timer after a failure.
    Retry,
}

pub(crate) struct Settler;

pub(crate) struct SettlerState {
    queue: Arc<QueueShared>,
    /// None in tests that have no actor.
    _seat: Option<Seated>,
    backoff: Backoff,
}

#[ractor::actor(message = SettlerMsg, state = SettlerState, arguments = Arc<QueueShared>)]
impl Settler {
    async fn pre_start(
        &self,
        myself: ActorRef<SettlerMsg>,
        queue: Arc<QueueShared>,
    ) -> Result<SettlerState, ActorProcessingErr> {
        let seat = queue.seats.settler.take().await?;
        queue.core().settler_restarted();
        queue.set_settler(myself.clone());
        let _ = myself.cast(SettlerMsg::Retry);
        Ok(SettlerState { _seat: Some(seat), ..SettlerState::new(queue) })
    }

    async fn handle(
        &self,
        myself: ActorRef<SettlerMsg>,
        message: SettlerMsg,
        state: &mut SettlerState,
    ) -> Result<(), ActorProcessingErr> {
        let retry = matches!(message, SettlerMsg::Retry);
        let _ = fault_point!(state.queue.name.as_str(), "settler.{}", if retry { "retry" } else { "flush" });
        if let Some(wait) = state.flush(retry).await? {
            myself.send_after(wait, || SettlerMsg::Retry);
        }
        Ok(())
    }
}

impl SettlerState {
    pub(super) fn new(queue: Arc<QueueShared>) -> Self {
        let backoff = Backoff::new(&queue.env.chance);
        Self { queue, _seat: None, backoff }
    }

    /// Sends what waits. Returns when to try again after a failure.
    pub(super) async fn flush(&mut self, retry: bool) -> Result<Option<Duration>, BackendError> {
        let Some(settlements) = self.queue.core().plan_settle(retry) else { return Ok(None) };
        let env = &self.queue.env;
        let call = env.backend.settle(&self.queue.name, &settlements);
        let answer = bounded(env.timing.call_timeout, "settle", call).await;
        let _ = fault_point!(self.queue.name.as_str(), "settler.answered");
        match answer {
            Ok(settled) => {
                self.backoff.succeeded(&self.queue.name, "settle");
                let nudge = {
                    let mut core = self.queue.core();
                    core.settle_done(&settled);
                    core.nudge()
                };
                self.queue.tell(nudge);
                self.queue.tell_changed();
                Ok(None)
            }
            Err(error) => {
                self.queue.core().settle_failed();
                if error.kind() == ErrorKind::Permanent {
                    return Err(error);
                }
                Ok(Some(self.backoff.failed(&self.queue.name, "settle", &error)))
            }
        }
    }
}
