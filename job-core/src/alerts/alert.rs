//! An alert, and what is said when it is raised or cleared.

use crate::{QueueName, WorkerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that is wrong with a queue now, as one process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActiveAlert {
    /// `rule/queue`, or `rule/queue/kind`: the same in every process that sees it, and every time.
    pub key: String,
    /// The name of the rule.
    pub rule: String,
    /// The queue.
    pub queue: String,
    /// The kind of job, for rules about a kind.
    pub kind: Option<String>,
    /// When this process raised it, by its own clock.
    pub since: Timestamp,
    /// What was measured when it was raised; of one that is over, what was measured then.
    pub value: u64,
    /// From where on the rule raises.
    pub threshold: u64,
    /// The unit of both: `jobs` or `ms`.
    pub unit: String,
    /// The same in words.
    pub message: String,
    /// The runtime that raised it.
    pub worker: String,
}

/// An alert was raised, or is over. Its [JSON](Self::to_json) is what a webhook is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlertChange {
    /// `raised` or `cleared`.
    pub event: AlertEvent,
    /// When, by the clock of this process.
    pub at: Timestamp,
    /// The alert.
    #[serde(flatten)]
    pub alert: ActiveAlert,
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertEvent {
    /// Something is wrong now.
    Raised,
    /// It is over.
    Cleared,
}

impl AlertChange {
    /// One line of JSON, as a webhook is sent it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and numbers under names: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the evaluation found, before it has a time and a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) event: AlertEvent,
    pub(crate) rule: String,
    pub(crate) queue: QueueName,
    pub(crate) kind: Option<crate::Kind>,
    pub(crate) value: u64,
    pub(crate) threshold: u64,
    pub(crate) unit: &'static str,
    pub(crate) message: String,
}

impl Found {
    pub(crate) fn key(&self) -> String {
        match &self.kind {
            Some(kind) => format!("{}/{}/{kind}", self.rule, self.queue),
            None => format!("{}/{}", self.rule, self.queue),
        }
    }

    pub(crate) fn into_alert(self, since: Timestamp, worker: WorkerId) -> ActiveAlert {
        ActiveAlert {
            key: self.key(),
            rule: self.rule,
            queue: self.queue.to_string(),
            kind: self.kind.map(|k| k.to_string()),
            since,
            value: self.value,
            threshold: self.threshold,
            unit: self.unit.to_owned(),
            message: self.message,
            worker: worker.to_string(),
        }
    }
}
