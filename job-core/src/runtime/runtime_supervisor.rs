//! RuntimeSupervisor: the root. Starts maintenance, schedules, wake-ups and one supervisor per queue, starts them again within a
//! budget, and beyond it ends the runtime with an error.

use super::listener::Listener;
use super::maintainer::Maintainer;
use super::queue_supervisor::QueueSupervisor;
use super::restart::RestartBudget;
use super::scheduler::Scheduler;
use super::shared::{Env, QueueShared};
use crate::fault_point;
use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Child {
    Maintainer,
    Scheduler,
    Listener,
    Queue(usize),
}

#[derive(Debug)]
pub(crate) enum RuntimeSupervisorMsg {
    Start(Child),
}

pub(crate) struct RuntimeSupervisor;

pub(crate) struct RuntimeSupervisorState {
    env: Arc<Env>,
    queues: Vec<Arc<QueueShared>>,
    children: HashMap<ActorId, Child>,
    budget: RestartBudget,
}

#[ractor::actor(
    message = RuntimeSupervisorMsg,
    state = RuntimeSupervisorState,
    arguments = (Arc<Env>, Vec<Arc<QueueShared>>)
)]
impl RuntimeSupervisor {
    async fn pre_start(
        &self,
        myself: ActorRef<RuntimeSupervisorMsg>,
        (env, queues): (Arc<Env>, Vec<Arc<QueueShared>>),
    ) -> Result<RuntimeSupervisorState, ActorProcessingErr> {
        let children =
            (0..queues.len()).map(Child::Queue).chain([Child::Listener, Child::Maintainer, Child::Scheduler]);
        for child in children {
            let _ = myself.cast(RuntimeSupervisorMsg::Start(child));
        }
        Ok(RuntimeSupervisorState { env, queues, children: HashMap::new(), budget: RestartBudget::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<RuntimeSupervisorMsg>,
        message: RuntimeSupervisorMsg,
        state: &mut RuntimeSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let _ = fault_point!(state.scope(), "supervisor.start");
        let RuntimeSupervisorMsg::Start(child) = message;
        match state.start(child, myself.get_cell()).await {
            Ok(id) => {
                state.children.insert(id, child);
            }
            Err(error) => state.restart(child, &myself, &error.to_string()),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RuntimeSupervisorMsg>,
        event: SupervisionEvent,
        state: &mut RuntimeSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        let _ = fault_point!(state.scope(), "supervisor.event");
        if let Some(child) = state.children.remove(&cell.get_id()) {
            state.restart(child, &myself, &why);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<RuntimeSupervisorMsg>,
        state: &mut RuntimeSupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.children.clear();
        myself.stop_children_and_wait(None, Some(Duration::from_secs(2))).await;
        Ok(())
    }
}

impl RuntimeSupervisorState {
    /// Whose tests may make it fail.
    #[cfg(feature = "faults")]
    fn scope(&self) -> &str {
        self.queues.first().map_or("", |queue| queue.name.as_str())
    }

    async fn start(&self, child: Child, parent: ActorCell) -> Result<ActorId, ractor::SpawnErr> {
        let queues = || self.queues.clone();
        let cell = match child {
            Child::Maintainer => {
                ractor::Actor::spawn_linked(None, Maintainer, queues(), parent).await?.0.get_cell()
            }
            Child::Scheduler => {
                ractor::Actor::spawn_linked(None, Scheduler, queues(), parent).await?.0.get_cell()
            }
            Child::Listener => {
                ractor::Actor::spawn_linked(None, Listener, queues(), parent).await?.0.get_cell()
            }
            Child::Queue(at) => {
                let queue = Arc::clone(&self.queues[at]);
                ractor::Actor::spawn_linked(None, QueueSupervisor, queue, parent).await?.0.get_cell()
            }
        };
        Ok(cell.get_id())
    }

    fn restart(&mut self, child: Child, myself: &ActorRef<RuntimeSupervisorMsg>, why: &str) {
        let restart = self.budget.spend(Instant::now());
        tracing::error!(?child, why, after = ?restart.after, "part of the runtime failed, starting it again");
        if restart.too_often {
            let part = match child {
                Child::Queue(at) => format!("the supervisor of queue {}", self.queues[at].name),
                Child::Maintainer | Child::Scheduler | Child::Listener => format!("{child:?}"),
            };
            self.env.fail(format!("{part} failed too often: {why}"));
        }
        myself.send_after(restart.after, move || RuntimeSupervisorMsg::Start(child));
    }
}
