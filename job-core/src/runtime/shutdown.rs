//! Running and ending a runtime: stop claiming, keep extending until the last handler has ended, ask handlers to stop,
//! give back what has provably stopped, tell the store everything.

use super::Runtime;
use super::keepers;
use super::root::Root;
use super::shared::QueueShared;
use crate::alerts::{ActiveAlert, Board, Watched, Watcher};
use crate::seeded_bug;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Why a runtime ended by itself.
#[derive(Debug)]
pub struct RuntimeError {
    message: String,
}

impl RuntimeError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the runtime ended: {}", self.message)
    }
}

impl std::error::Error for RuntimeError {}

/// How a shutdown went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Jobs whose result the store does not know: their leases expire and they run again elsewhere.
    pub left_to_expire: usize,
    /// How long the shutdown took.
    pub took: Duration,
}

impl Report {
    /// 0 if every job was settled or given back, 3 if some were left to expire.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.left_to_expire == 0 { 0 } else { 3 })
    }
}

/// A runtime in the background. Dropping it stops claims at once but waits for nothing; call
/// [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct RunningRuntime {
    client: crate::Client,
    board: Board,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Report, RuntimeError>>,
}

impl RunningRuntime {
    pub(super) fn start(runtime: Runtime) -> Self {
        let client = runtime.client();
        let board = runtime.board.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(
            runtime,
            async move {
                // A dropped handle stops the runtime too.
                let _ = stopped.await;
            },
            std::future::pending(),
        ));
        Self { client, board, stop: Some(stop), task }
    }

    /// A client of the same backend.
    #[must_use]
    pub fn client(&self) -> &crate::Client {
        &self.client
    }

    /// What this runtime has raised and not cleared, by key.
    #[must_use]
    pub fn alerts(&self) -> Vec<ActiveAlert> {
        self.board.list()
    }

    /// Shuts down within the deadline.
    ///
    /// # Errors
    /// [`RuntimeError`] if the runtime had ended by itself.
    pub async fn shutdown(mut self) -> Result<Report, RuntimeError> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.task).await.unwrap_or_else(|e| Err(RuntimeError::new(e.to_string())))
    }
}

pub(super) async fn run(
    runtime: Runtime,
    stop: impl Future<Output = ()> + Send,
    hurry: impl Future<Output = ()> + Send,
) -> Result<Report, RuntimeError> {
    let Runtime { env, queues, alerts, board } = runtime;
    let mut fatal = env.fatal.subscribe();
    let keepers = keepers::start(&env)?;
    let root = Root::start(Arc::clone(&env), queues.clone(), keepers);
    let info = env.backend.info();
    tracing::info!(worker = %env.worker, backend = info.name, durability = ?info.durability, queues = queues.len(), "runtime started");
    let watched = Watched {
        backend: Arc::clone(&env.backend),
        worker: env.worker,
        queues: queues.iter().map(|q| q.name.clone()).collect(),
        kinds: env.kinds.clone(),
        call_timeout: env.timing.call_timeout,
    };
    let watcher = Watcher::start(alerts, watched, board);
    let failure = tokio::select! {
        // In order, so that a simulation decides the same each time.
        biased;
        () = stop => None,
        failure = fatal.wait_for(Option::is_some) => failure.ok().and_then(|f| f.clone()),
    };
    let began = Instant::now();
    let report = end(&queues, &env.timing, hurry).await;
    root.stop().await;
    if let Some(watcher) = watcher {
        watcher.end().await;
    }
    tracing::info!(left_to_expire = report, took = ?began.elapsed(), "runtime ended");
    match failure {
        Some(message) => Err(RuntimeError::new(message)),
        None => Ok(Report { left_to_expire: report, took: began.elapsed() }),
    }
}

/// Ends every queue; returns how many jobs are left to expire.
pub(super) async fn end(
    queues: &[Arc<QueueShared>],
    timing: &super::shared::Timing,
    hurry: impl Future<Output = ()> + Send,
) -> usize {
    let began = Instant::now();
    let deadline = began + timing.shutdown_deadline;
    for queue in queues {
        let nudge = queue.core().stop_claiming();
        queue.tell(nudge);
    }
    tokio::pin!(hurry);
    let hurried = tokio::select! {
        biased;
        _ = timeout_at(deadline - timing.cancel_grace, until(queues, |q| q.core().running() == 0)) => false,
        () = &mut hurry => true,
    };
    for queue in queues {
        queue.core().cancel_all();
    }
    if !hurried {
        tokio::select! {
            biased;
            _ = timeout_at(deadline, until(queues, |q| q.core().running() == 0)) => {}
            () = &mut hurry => {}
        }
    }
    for queue in queues {
        queue.abort.cancel();
    }
    let flush_by =
        Instant::now() + if seeded_bug!("no_flush") { Duration::ZERO } else { timing.flush_budget };
    let _ = timeout_at(flush_by, until(queues, |q| q.core().is_quiet())).await;
    queues.iter().map(|q| q.core().unsettled()).sum()
}

/// Waits until `done` holds for every queue.
async fn until(queues: &[Arc<QueueShared>], done: impl Fn(&QueueShared) -> bool) {
    for queue in queues {
        queue.watch_changes();
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done(queue) {
                break;
            }
            // Verdicts that an actor has not been told of yet must not wait for the next event.
            let nudge = queue.core().nudge();
            queue.tell(nudge);
            changed.await;
        }
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn install() -> Result<Self, RuntimeError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate())
                .map_err(|e| RuntimeError::new(format!("no handler for SIGTERM: {e}")))?;
            Ok(Self { terminate })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    pub(super) async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = tokio::signal::ctrl_c() => "SIGINT",
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}
