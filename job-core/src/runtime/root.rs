//! The root of the actors has no supervisor: a task starts it again when it dies, and stops it when the runtime is over,
//! also when the future that runs the runtime was dropped.

use super::restart::RestartBudget;
use super::runtime_supervisor::RuntimeSupervisor;
use super::shared::{Env, QueueShared};
use crate::OwnThread;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the actors may take to stop: each of them waits for the store no longer than for one call.
const TO_STOP: Duration = Duration::from_secs(3);
/// How long their thread may take after that.
const TO_END: Duration = Duration::from_secs(1);

/// All actors of a runtime. Dropping it ends them and drops every handler, without waiting.
#[derive(Debug)]
pub(super) struct Root {
    over: DropGuard,
    task: JoinHandle<()>,
}

impl Root {
    /// Starts the actors; `keepers` is the thread that some of them run on.
    pub(super) fn start(env: Arc<Env>, queues: Vec<Arc<QueueShared>>, keepers: Option<OwnThread>) -> Self {
        let over = CancellationToken::new();
        let task = tokio::spawn(keep(env, queues, keepers, over.clone()));
        Self { over: over.drop_guard(), task }
    }

    /// Stops the actors and their thread.
    pub(super) async fn stop(self) {
        drop(self.over);
        let _ = timeout(TO_STOP + TO_END, self.task).await;
    }
}

async fn keep(
    env: Arc<Env>,
    queues: Vec<Arc<QueueShared>>,
    keepers: Option<OwnThread>,
    over: CancellationToken,
) {
    let mut budget = RestartBudget::default();
    while !over.is_cancelled() {
        let why =
            match ractor::Actor::spawn(None, RuntimeSupervisor, (Arc::clone(&env), queues.clone())).await {
                Ok((root, mut task)) => {
                    tokio::select! {
                        _ = &mut task => "it panicked".to_owned(),
                        () = over.cancelled() => {
                            // Nothing is left of handlers if the runtime was shut down; everything if it was dropped.
                            queues.iter().for_each(|queue| queue.drop_handlers());
                            root.stop(None);
                            let _ = timeout(TO_STOP, task).await;
                            break;
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
        let restart = budget.spend(Instant::now());
        tracing::error!(why, after = ?restart.after, "the root of the runtime failed, starting it again");
        if restart.too_often {
            env.fail(format!("its root failed too often: {why}"));
        }
        let _ = timeout(restart.after, over.cancelled()).await;
    }
    if let Some(keepers) = keepers {
        let _ = timeout(TO_END, keepers.end()).await;
    }
}
