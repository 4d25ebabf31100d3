//! Listener: turns the wake-ups of the store into wake-ups of the claimers. Only a hint; polling alone is enough.
//! Owns: one task per queue, which end with it. Restarted by: the RuntimeSupervisor.

use super::backoff::Backoff;
use super::shared::QueueShared;
use crate::fault_point;
use ractor::{ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Debug)]
pub(crate) enum ListenerMsg {}

pub(crate) struct Listener;

pub(crate) struct ListenerState {
    _tasks: JoinSet<()>,
}

#[ractor::actor(message = ListenerMsg, state = ListenerState, arguments = Vec<Arc<QueueShared>>)]
impl Listener {
    async fn pre_start(
        &self,
        _myself: ActorRef<ListenerMsg>,
        queues: Vec<Arc<QueueShared>>,
    ) -> Result<ListenerState, ActorProcessingErr> {
        let mut tasks = JoinSet::new();
        for queue in queues {
            tasks.spawn(listen(queue));
        }
        Ok(ListenerState { _tasks: tasks })
    }
}

async fn listen(queue: Arc<QueueShared>) {
    let mut backoff = Backoff::new(&queue.env.chance);
    loop {
        match queue.env.backend.wait(&queue.name).await {
            Ok(()) => {
                backoff.succeeded(&queue.name, "wait");
                let _ = fault_point!(queue.name.as_str(), "listener.woken");
                queue.wake();
            }
            Err(error) => sleep(backoff.failed(&queue.name, "wait", &error)).await,
        }
        // A store whose wake-ups come without end must not keep other tasks from running.
        tokio::task::yield_now().await;
    }
}
