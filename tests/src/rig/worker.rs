//! The processes that are killed: workers and producers. They take orders on stdin, one a line, and end when it does.

use super::fate::Fate;
use super::history::History;
use super::job::{FairJob, LIMIT, LIMIT_NAME, LimitedJob, ON_PURPOSE, OrderedJob, QUEUE, Rig, RigJob};
use super::outside::Outside;
use super::producer::Producer;
use super::store::{self, AnyError};
use super::{crash_backend::CrashBackend, history};
use crate::judge::event::Event;
use crate::judge::point::Order;
use job_core::{BackendError, Limit, Operate, Queue, Runtime, faults};
use std::io::BufRead as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The exit code of a process whose orchestrator is gone.
const ORPHANED: i32 = 9;
/// The order to go on after having been frozen.
pub(super) const THAW: &str = "thaw";

pub(super) struct Process {
    pub(super) backend: Arc<dyn Operate>,
    history: Arc<History>,
    fate: Arc<Fate>,
}

impl Process {
    pub(super) async fn start(url: &str, path: &Path) -> Result<Self, AnyError> {
        let history = Arc::new(History::create(path)?);
        history.write(Event::Boot { pid: std::process::id() });
        let fate = Arc::new(Fate::new(Arc::clone(&history)));
        take_orders(Arc::clone(&fate));
        let inner = until_connected(url).await?;
        let decider: Arc<dyn faults::Faults> = fate.clone();
        faults::install(decider);
        let backend = CrashBackend::new(inner, Arc::clone(&history), Arc::clone(&fate));
        Ok(Self { backend: Arc::new(backend), history, fate })
    }
}

/// The server may be away: whoever starts a worker in production starts it again.
async fn until_connected(url: &str) -> Result<Arc<dyn Operate>, AnyError> {
    loop {
        match store::connect(url).await {
            Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_millis(50)).await,
            answer => return Ok(answer?),
        }
    }
}

/// The same for what the handlers need.
async fn until_open(url: &str, port: u16, path: &Path) -> Result<Outside, AnyError> {
    loop {
        match Outside::open(url, port, path).await {
            Err(error) if error.downcast_ref().is_some_and(BackendError::is_transient) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

/// Reads orders on a thread of its own, so that nothing the process does delays them.
fn take_orders(fate: Arc<Fate>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line == THAW {
                fate.thaw();
            } else {
                fate.order(line.parse::<Order>().expect("the orchestrator writes orders"));
            }
        }
        std::process::exit(ORPHANED);
    });
}

/// Runs jobs until SIGTERM. The service outside listens at `port`.
pub(super) async fn work(url: &str, lease: Duration, port: u16, path: &Path) -> Result<ExitCode, AnyError> {
    let process = Process::start(url, path).await?;
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(ON_PURPOSE) {
            say(info);
        }
    }));
    let outside = until_open(url, port, path).await?;
    // Every other worker keeps what it completes for a while.
    let queue = Queue::concurrency(8).prefetch_max(16);
    let queue = if std::process::id().is_multiple_of(2) {
        queue.keep_completed(Duration::from_millis(300))
    } else {
        queue
    };
    let runtime = Runtime::builder(process.backend)
        .job::<RigJob>()
        .job::<LimitedJob>()
        .job::<OrderedJob>()
        .job::<FairJob>()
        .limit(LIMIT_NAME, Limit::concurrency(LIMIT))
        .state(Rig { history: process.history, fate: process.fate, outside })
        .queue(QUEUE.as_str(), queue)
        .lease(lease)
        .shutdown_deadline(Duration::from_secs(4))
        .cancel_grace(Duration::from_secs(1))
        .poll_max(Duration::from_millis(100))
        // Kills here are no fault of any job.
        .poison_limit(1_000_000)
        .build()?;
    Ok(runtime.run_until_signal().await?.exit_code())
}

/// Enqueues until it is killed.
pub(super) async fn produce(url: &str, path: &Path, number: u32) -> Result<ExitCode, AnyError> {
    let process = Process::start(url, path).await?;
    let store = store::Store::of_url(url)?;
    let mut producer = Producer::new(store, process.backend, process.history, number, history::now());
    let (_never, stop) = watch::channel(false);
    producer.run(stop).await;
    Ok(ExitCode::SUCCESS)
}
