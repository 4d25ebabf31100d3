//! QueueSupervisor: starts the actors of one queue and starts them again when they die. The leases live in
//! [`QueueShared`], so nothing is forgotten.
//! Restarted by: the RuntimeSupervisor, with the same `QueueShared`.

use super::claimer::Claimer;
use super::lease_keeper::LeaseKeeper;
use super::restart::RestartBudget;
use super::settler::Settler;
use super::shared::QueueShared;
use crate::fault_point;
use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Claimer,
    Settler,
    LeaseKeeper,
}

#[derive(Debug)]
pub(crate) enum QueueSupervisorMsg {
    Start(Part),
}

pub(crate) struct QueueSupervisor;

pub(crate) struct QueueSupervisorState {
    queue: Arc<QueueShared>,
    parts: HashMap<ActorId, Part>,
    budget: RestartBudget,
}

#[ractor::actor(message = QueueSupervisorMsg, state = QueueSupervisorState, arguments = Arc<QueueShared>)]
impl QueueSupervisor {
    async fn pre_start(
        &self,
        myself: ActorRef<QueueSupervisorMsg>,
        queue: Arc<QueueShared>,
    ) -> Result<QueueSupervisorState, ActorProcessingErr> {
        for part in [Part::LeaseKeeper, Part::Settler, Part::Claimer] {
            let _ = myself.cast(QueueSupervisorMsg::Start(part));
        }
        Ok(QueueSupervisorState { queue, parts: HashMap::new(), budget: RestartBudget::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<QueueSupervisorMsg>,
        message: QueueSupervisorMsg,
        state: &mut QueueSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let _ = fault_point!(state.queue.name.as_str(), "queue_supervisor.start");
        let QueueSupervisorMsg::Start(part) = message;
        match state.start(part, myself.get_cell()).await {
            Ok(id) => {
                state.parts.insert(id, part);
            }
            Err(error) => state.restart(part, &myself, &error.to_string()),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<QueueSupervisorMsg>,
        event: SupervisionEvent,
        state: &mut QueueSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (child, why) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorTerminated(child, _, reason) => (child, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        let _ = fault_point!(state.queue.name.as_str(), "queue_supervisor.event");
        if let Some(part) = state.parts.remove(&child.get_id()) {
            state.restart(part, &myself, &why);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<QueueSupervisorMsg>,
        state: &mut QueueSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.parts.clear();
        myself.stop_children_and_wait(None, Some(Duration::from_secs(1))).await;
        Ok(())
    }
}

impl QueueSupervisorState {
    async fn start(&self, part: Part, parent: ActorCell) -> Result<ActorId, SpawnErr> {
        let queue = Arc::clone(&self.queue);
        let cell = match part {
            Part::Claimer => ractor::Actor::spawn_linked(None, Claimer, queue, parent).await?.0.get_cell(),
            Part::Settler => ractor::Actor::spawn_linked(None, Settler, queue, parent).await?.0.get_cell(),
            Part::LeaseKeeper => {
                let home = self.queue.env.keepers.get().cloned().unwrap_or_else(Handle::current);
                let start = home.spawn(ractor::Actor::spawn_linked(None, LeaseKeeper, queue, parent));
                start.await.map_err(|e| SpawnErr::StartupFailed(e.into()))??.0.get_cell()
            }
        };
        Ok(cell.get_id())
    }

    fn restart(&mut self, part: Part, myself: &ActorRef<QueueSupervisorMsg>, why: &str) {
        let queue = &self.queue.name;
        let restart = self.budget.spend(Instant::now());
        tracing::error!(%queue, ?part, why, after = ?restart.after, "part of the runtime failed, starting it again");
        if restart.too_often {
            self.queue.env.fail(format!("queue {queue}: {part:?} failed too often: {why}"));
        }
        myself.send_after(restart.after, move || QueueSupervisorMsg::Start(part));
    }
}
