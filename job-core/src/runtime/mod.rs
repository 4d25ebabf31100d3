//! The part that runs jobs. Nothing outside this folder knows actors.

mod backoff;
mod begin;
mod bounded;
mod builder;
mod burial;
mod claimer;
mod core;
mod declaration;
mod declared;
mod downstreams;
mod execution;
mod expiry;
mod keepers;
mod lease_keeper;
mod limits;
mod listener;
mod maintainer;
mod queue;
mod queue_supervisor;
mod restart;
mod root;
mod runtime_supervisor;
mod scheduler;
mod seat;
mod settler;
mod shared;
mod shutdown;
mod slots;
mod stall;
mod suspects;
mod sync;

#[cfg(all(test, schedules))]
#[path = "../../../tests/schedules/core/hand_offs/mod.rs"]
mod hand_offs;

pub(crate) use execution::panic_text;

pub use builder::RuntimeBuilder;
pub use queue::Queue;
pub use shutdown::{Report, RunningRuntime, RuntimeError};

use crate::WorkerId;
use crate::alerts::{Alerts, Board};
use crate::client::Client;
use crate::operate::{IntoBackend, Operate};
pub(crate) use bounded::bounded;
pub(crate) use shared::Env;
use shared::QueueShared;
use std::future::Future;
use std::sync::Arc;

/// Runs jobs: claims them from a backend, calls their handlers, settles what became of them.
///
/// One per process is usual; several may share a backend, in one process or many.
#[derive(Debug)]
pub struct Runtime {
    env: Arc<Env>,
    queues: Vec<Arc<QueueShared>>,
    alerts: Alerts,
    board: Board,
}

impl Runtime {
    /// A runtime over this backend; nothing happens before it is built and run.
    #[must_use]
    pub fn builder(backend: impl IntoBackend) -> RuntimeBuilder {
        RuntimeBuilder::new(backend.into_backend())
    }

    /// A client of the same backend, with the middleware of this runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::with_layers(Arc::clone(&self.env.backend), self.env.layers.clone())
    }

    /// The backend, for looking, replaying, cancelling and pausing.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Operate> {
        &self.env.backend
    }

    /// The random id of this worker, new at every boot.
    #[must_use]
    pub fn worker_id(&self) -> WorkerId {
        self.env.worker
    }

    /// Runs until SIGTERM or SIGINT (Ctrl-C), then shuts down within the deadline; a second signal hurries it.
    ///
    /// # Errors
    /// [`RuntimeError`] if part of the runtime failed so often that it cannot go on.
    pub async fn run_until_signal(self) -> Result<Report, RuntimeError> {
        let mut signals = shutdown::Signals::install()?;
        let (first_tx, first_rx) = tokio::sync::oneshot::channel();
        let (second_tx, second_rx) = tokio::sync::oneshot::channel();
        let watch = tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "shutting down; send it again to hurry");
            let _ = first_tx.send(());
            signals.next().await;
            let _ = second_tx.send(());
        });
        let result = shutdown::run(self, wait_for(first_rx), wait_for(second_rx)).await;
        watch.abort();
        result
    }

    /// Runs until `stop` completes, then shuts down within the deadline.
    ///
    /// On a current-thread runtime of tokio, a handler that never waits keeps leases from being extended; on a
    /// multi-thread one nothing does. Dropping the future drops the handlers; their jobs run again, at the latest when
    /// their leases have run out.
    ///
    /// # Errors
    /// [`RuntimeError`] if part of the runtime failed so often that it cannot go on.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<Report, RuntimeError> {
        shutdown::run(self, stop, std::future::pending()).await
    }

    /// Runs in the background until told to stop, for tests and for programs that do other things too.
    #[must_use]
    pub fn start(self) -> RunningRuntime {
        RunningRuntime::start(self)
    }
}

async fn wait_for(receiver: tokio::sync::oneshot::Receiver<()>) {
    if receiver.await.is_err() {
        std::future::pending().await
    }
}
