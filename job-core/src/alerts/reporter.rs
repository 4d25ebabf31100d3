//! Tells the store what this runtime has raised, so that other processes see it.

use super::board::Board;
use super::report::{AlertReport, RaisedAlert};
use crate::WorkerId;
use crate::operate::Operate;
use crate::runtime::bounded;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Reporter {
    backend: Arc<dyn Operate>,
    worker: WorkerId,
    call_timeout: Duration,
    board: Board,
    /// The store may have a report of ours.
    standing: AtomicBool,
}

impl Reporter {
    pub(super) fn new(
        backend: Arc<dyn Operate>,
        worker: WorkerId,
        call_timeout: Duration,
        board: Board,
    ) -> Self {
        Self { backend, worker, call_timeout, board, standing: AtomicBool::new(false) }
    }

    /// Says what is raised; nothing if there is nothing, and was nothing the last time.
    pub(super) async fn report(&self, valid_for: Duration) {
        let alerts = self.board.list();
        if alerts.is_empty() {
            return self.take_away().await;
        }
        self.standing.store(true, Ordering::Relaxed);
        let alerts = alerts.into_iter().map(|alert| RaisedAlert::of(alert, self.worker)).collect();
        self.send(AlertReport::new(self.worker, valid_for, alerts)).await;
    }

    /// Takes the report away that the store may have. One that stays ends by itself.
    pub(super) async fn take_away(&self) {
        if self.standing.load(Ordering::Relaxed)
            && self.send(AlertReport::new(self.worker, Duration::ZERO, Vec::new())).await
        {
            self.standing.store(false, Ordering::Relaxed);
        }
    }

    /// True if the store has it.
    async fn send(&self, report: AlertReport) -> bool {
        let sent = bounded(self.call_timeout, "report alerts", self.backend.report_alerts(&report)).await;
        if let Err(error) = &sent {
            tracing::debug!(%error, "what is raised could not be reported");
        }
        sent.is_ok()
    }
}
