//! Notes: what the handlers of a job leave for its later attempts, and for people who look.

use bytes::Bytes;
use jiff::Timestamp;

/// A note on a job.
///
/// Notes live as long as their job: through retries, lost leases, the dead-letter queue and replays. They are gone once it
/// completes and is not kept, is cancelled or is discarded. Effects, checkpoints, progress and results are kept in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about; one of a kind in its job.
    pub name: String,
    /// What it says.
    pub value: Bytes,
    /// When it was written, by the store's clock.
    pub at: Timestamp,
}

impl Note {
    /// The longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 128;
    /// The largest value: 64 KiB.
    pub const VALUE_BYTES_MAX: usize = 64 * 1024;
    /// The name of the note with what the handler of a completed job returned.
    pub const RESULT: &str = "result";
    /// The most notes that one job may have.
    pub const PER_JOB_MAX: usize = 100;
}

/// A note to write, or to take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteEdit {
    /// What it is about.
    pub name: String,
    /// What it says from now on; `None` takes the note away.
    pub value: Option<Bytes>,
}

impl NoteEdit {
    /// Writes a note, in place of the one with its name if there is one.
    #[must_use]
    pub fn set(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// Takes a note away, if it is there.
    #[must_use]
    pub fn remove(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: None }
    }
}

/// The notes of a job, and what the time was when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    /// The store's clock.
    pub now: Timestamp,
    /// By name.
    pub notes: Vec<Note>,
}
