//! Listener: turns the wake-ups of the store into wake-ups of the claimers. Only a hint; polling alone is enough.
//! Owns: one task per queue, which end with it. Restarted by: the RuntimeSupervisor, also when one of its tasks panics.

use super::backoff::Backoff;
use super::execution::panic_text;
use super::shared::QueueShared;
use crate::fault_point;
use futures_util::FutureExt as _;
use ractor::{ActorProcessingErr, ActorRef};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Debug)]
pub(crate) enum ListenerMsg {
    /// A task is no more, so the actor is deaf to its queue.
    TaskPanicked(String),
}

pub(crate) struct Listener;

pub(crate) struct ListenerState {
    _tasks: JoinSet<()>,
}

#[ractor::actor(message = ListenerMsg, state = ListenerState, arguments = Vec<Arc<QueueShared>>)]
impl Listener {
    async fn pre_start(
        &self,
        myself: ActorRef<ListenerMsg>,
        queues: Vec<Arc<QueueShared>>,
    ) -> Result<ListenerState, ActorProcessingErr> {
        let mut tasks = JoinSet::new();
        for queue in queues {
            let myself = myself.clone();
            tasks.spawn(async move {
                if let Err(panic) = AssertUnwindSafe(listen(queue)).catch_unwind().await {
                    let _ = myself.cast(ListenerMsg::TaskPanicked(panic_text(&*panic)));
                }
            });
        }
        Ok(ListenerState { _tasks: tasks })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ListenerMsg>,
        message: ListenerMsg,
        _state: &mut ListenerState,
    ) -> Result<(), ActorProcessingErr> {
        let ListenerMsg::TaskPanicked(text) = message;
        Err(text.into())
    }
}

async fn listen(queue: Arc<QueueShared>) {
    let _ = fault_point!(queue.name.as_str(), "listener.start");
    // What happened while nobody listened.
    queue.wake();
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
