//! What jobs were asked for.

use super::event::Conduct;
use job_core::JobId;
use serde::{Deserialize, Serialize};

/// A job that somebody asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its id, made by the client.
    pub job: JobId,
    /// The number in its arguments.
    pub n: u64,
    /// What its handler does.
    pub conduct: Conduct,
    /// Its idempotency key.
    pub key: Option<String>,
    /// How long it waits before it may run, in milliseconds.
    pub delay_ms: u64,
    /// The jobs for whose end it waits.
    #[serde(default)]
    pub after: Vec<JobId>,
    /// What may keep it waiting.
    #[serde(default)]
    pub under: Under,
}

impl Asked {
    /// A job that waits for nothing.
    #[must_use]
    pub fn plain(job: JobId, n: u64, conduct: Conduct) -> Self {
        Self { job, n, conduct, key: None, delay_ms: 0, after: Vec::new(), under: Under::default() }
    }
}

/// What may keep a job waiting besides its time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// It is under the limit that all such jobs share, which lets so many be claimed at one time.
    pub concurrency: Option<usize>,
    /// It waits in an ordered line with this key.
    pub line: Option<String>,
    /// It waits in a line with this key that takes turns with others of its kind.
    #[serde(default)]
    pub fair: Option<String>,
}
