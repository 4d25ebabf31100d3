//! What one worker has raised, as a store shows it to everybody.

use super::alert::ActiveAlert;
use crate::WorkerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An alert that some worker has raised, see [`Operate::alerts`](crate::Operate::alerts).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaisedAlert {
    /// The worker that says so.
    pub worker: WorkerId,
    /// The name of the rule.
    pub rule: String,
    /// The queue.
    pub queue: String,
    /// The kind of job, for rules about a kind.
    pub kind: Option<String>,
    /// What is wrong, in words.
    pub message: String,
    /// When it was raised, by the clock of that worker.
    pub since: Timestamp,
}

impl RaisedAlert {
    pub(super) fn of(alert: ActiveAlert, worker: WorkerId) -> Self {
        let ActiveAlert { rule, queue, kind, message, since, .. } = alert;
        Self { worker, rule, queue, kind, message, since }
    }
}

/// Everything that one worker has raised now; a store keeps the last one of each worker for as long as it says.
///
/// ```
/// use job_core::{AlertReport, RaisedAlert, WorkerId};
/// use std::time::Duration;
///
/// let worker = WorkerId::random();
/// let alert = RaisedAlert {
///     worker,
///     rule: "dead_depth".into(),
///     queue: "email".into(),
///     kind: None,
///     message: "queue email has 1 dead job(s)".into(),
///     since: "2026-11-24T09:00:10Z".parse()?,
/// };
/// let report = AlertReport::new(worker, Duration::from_secs(30), vec![alert]);
/// assert_eq!(AlertReport::read(&report.to_json()), report.alerts());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertReport {
    worker: WorkerId,
    valid_for: Duration,
    alerts: Vec<RaisedAlert>,
}

impl AlertReport {
    /// How many alerts a report has at most.
    pub const ALERTS_MAX: usize = 100;
    /// How many bytes of a message are kept.
    pub const MESSAGE_BYTES_MAX: usize = 500;

    /// A report that ends by itself after this time, by the store's clock. Of too many alerts the first are kept, and of a
    /// long message its beginning. All of them are this worker's. Without any, it takes the last report away.
    #[must_use]
    pub fn new(worker: WorkerId, valid_for: Duration, mut alerts: Vec<RaisedAlert>) -> Self {
        alerts.truncate(Self::ALERTS_MAX);
        for alert in &mut alerts {
            alert.worker = worker;
            let end = alert.message.floor_char_boundary(Self::MESSAGE_BYTES_MAX);
            alert.message.truncate(end);
        }
        Self { worker, valid_for, alerts }
    }

    /// Whose it is.
    #[must_use]
    pub const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// For how long a store shows it.
    #[must_use]
    pub const fn valid_for(&self) -> Duration {
        self.valid_for
    }

    /// What is raised.
    #[must_use]
    pub fn alerts(&self) -> &[RaisedAlert] {
        &self.alerts
    }

    /// The alerts as JSON, for stores that keep texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts under names: nothing in it can fail.
        serde_json::to_string(&self.alerts).unwrap_or_default()
    }

    /// The alerts in such a text. One that cannot be read has none, and is told to the log: others are not to suffer.
    #[must_use]
    pub fn read(json: &str) -> Vec<RaisedAlert> {
        serde_json::from_str(json).unwrap_or_else(|error| {
            tracing::warn!(%error, "a report of alerts cannot be read");
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_bounded() {
        let (worker, other) = (WorkerId::random(), WorkerId::random());
        let alert = RaisedAlert {
            worker: other,
            rule: "r".into(),
            queue: "q".into(),
            kind: None,
            message: "é".repeat(AlertReport::MESSAGE_BYTES_MAX),
            since: Timestamp::UNIX_EPOCH,
        };
        let report = AlertReport::new(worker, Duration::MAX, vec![alert; AlertReport::ALERTS_MAX + 1]);
        assert_eq!(report.alerts().len(), AlertReport::ALERTS_MAX);
        assert!(report.alerts().iter().all(|a| a.worker == worker));
        assert_eq!(report.alerts()[0].message.len(), AlertReport::MESSAGE_BYTES_MAX);
        assert_eq!(AlertReport::read("{"), []);
    }
}
