//! The task that looks at the queues of a store, in every runtime.

use super::Alerts;
use super::alert::{AlertChange, AlertEvent, Found};
use super::board::Board;
use super::deliver::Delivery;
use super::evaluate::Evaluation;
use super::reporter::Reporter;
use crate::operate::Operate;
use crate::runtime::bounded;
use crate::{Kind, QueueName, WorkerId};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long a runtime that ends waits for its last changes to be told, and for its report to be taken away.
const TO_TELL: Duration = Duration::from_secs(2);

/// For how many rounds a report is valid: one that is late or fails takes nothing away.
const ROUNDS: u32 = 3;

/// Whose runtime this is.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) backend: Arc<dyn Operate>,
    pub(crate) worker: WorkerId,
    /// What it works on.
    pub(crate) queues: BTreeSet<QueueName>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) call_timeout: Duration,
}

/// The running task. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watcher {
    task: AbortOnDropHandle<()>,
    delivery: Arc<Delivery>,
    reporter: Arc<Reporter>,
}

impl Watcher {
    /// Starts to watch; nothing if there is nothing to watch for.
    pub(crate) fn start(alerts: Alerts, watched: Watched, board: Board) -> Option<Self> {
        if alerts.rules.is_empty() {
            tracing::warn!(worker = %watched.worker, "alerts are off: nobody is told of dead jobs");
            return None;
        }
        let delivery = Arc::new(Delivery::start(alerts.sinks));
        let every = alerts.every;
        let Watched { backend, worker, call_timeout, .. } = &watched;
        let reporter = Reporter::new(Arc::clone(backend), *worker, *call_timeout, board.clone());
        let reporter = Arc::new(reporter);
        let watch = Watch {
            evaluation: Evaluation::new(alerts.rules),
            watched,
            board,
            delivery: Arc::clone(&delivery),
            reporter: Arc::clone(&reporter),
            failing: false,
        };
        Some(Self { task: AbortOnDropHandle::new(tokio::spawn(watch.run(every))), delivery, reporter })
    }

    /// Stops to watch, and waits a little until everybody has been told and the store shows nothing of this worker.
    pub(crate) async fn end(self) {
        let Self { task, delivery, reporter } = self;
        task.abort();
        let gone = async {
            // A report that it is about to send would come after the last one.
            let _ = task.await;
            // A store may panic.
            let _ = AssertUnwindSafe(reporter.take_away()).catch_unwind().await;
        };
        let _ = tokio::join!(timeout(TO_TELL, delivery.told()), timeout(TO_TELL, gone));
    }
}

struct Watch {
    evaluation: Evaluation,
    watched: Watched,
    board: Board,
    delivery: Arc<Delivery>,
    reporter: Arc<Reporter>,
    failing: bool,
}

impl Watch {
    async fn run(mut self, every: Duration) {
        // A runtime that ends at once need not look.
        sleep(every.min(Duration::from_secs(1))).await;
        loop {
            let began = Instant::now();
            // A store, or a subscriber of the log, may panic.
            if AssertUnwindSafe(self.look_around()).catch_unwind().await.is_err() {
                tracing::error!("a look for alerts panicked, trying on");
            }
            let valid_for = every.max(began.elapsed()) * ROUNDS;
            if AssertUnwindSafe(self.reporter.report(valid_for)).catch_unwind().await.is_err() {
                tracing::error!("a report of alerts panicked, trying on");
            }
            sleep(every.saturating_sub(began.elapsed())).await;
        }
    }

    /// Looks at every queue once.
    async fn look_around(&mut self) {
        let Watched { backend, call_timeout, queues, .. } = &self.watched;
        let backend = Arc::clone(backend);
        let (limit, mut all) = (*call_timeout, queues.clone());
        let mut failed = None;
        match bounded(limit, "queues", backend.queues()).await {
            Ok(others) => all.extend(others),
            Err(error) => failed = Some(error),
        }
        for queue in all {
            match bounded(limit, "gauges", backend.gauges(&queue, self.evaluation.count_to())).await {
                Ok(gauges) => {
                    let Watched { queues, kinds, .. } = &self.watched;
                    let mine = queues.contains(&queue);
                    let handles = |kind: &Kind| mine && kinds.binary_search(kind).is_ok();
                    for found in self.evaluation.look(&queue, &gauges, handles, Instant::now()) {
                        self.tell(found);
                    }
                }
                Err(error) => {
                    self.evaluation.miss(&queue);
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed.as_ref().filter(|_| !self.failing) {
            tracing::warn!(%error, "a look for alerts failed, trying on");
        }
        self.failing = failed.is_some();
    }

    fn tell(&self, found: Found) {
        let at = Timestamp::now();
        let (event, key) = (found.event, found.key());
        let raised = if event == AlertEvent::Cleared { self.board.take(&key) } else { None };
        let since = raised.map_or(at, |alert| alert.since);
        let alert = found.into_alert(since, self.watched.worker);
        if event == AlertEvent::Raised {
            self.board.put(alert.clone());
        }
        let change = AlertChange { event, at, alert };
        self.delivery.tell(&change);
        let alert = &change.alert;
        match event {
            AlertEvent::Raised => {
                tracing::error!(
                    key,
                    value = alert.value,
                    threshold = alert.threshold,
                    unit = alert.unit,
                    "alert raised: {}",
                    alert.message
                );
            }
            AlertEvent::Cleared => {
                tracing::info!(key, value = alert.value, "alert cleared: {}", alert.message)
            }
        }
    }
}
