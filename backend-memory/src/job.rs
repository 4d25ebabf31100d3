//! A stored job.

use crate::clock::{Clock, Tick};
use crate::keys::KeyText;
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{
    AttemptError, BatchId, ClaimedJob, DeadReason, ErrorReport, Headers, Hold, JobId, JobRecord, JobState,
    Kind, LeaseId, Note, NoteEdit, Priority, QueueName, Suspicion, WorkerId,
};
use std::sync::Arc;

/// Where a job waits among the ready ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Enqueued or due.
    Fresh,
    /// Released.
    Returned,
    /// Reaped from a lease shared with others.
    Suspect,
    /// Reaped from a lease of its own.
    Solo,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Ready,
    Waiting { due: Tick, retrying: bool },
    Running,
    Dead { at: Tick, reason: DeadReason },
    Completed { at: Tick, until: Tick },
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) kind: Kind,
    /// The kind's number in its queue.
    pub(crate) kind_no: u32,
    pub(crate) queue_no: u32,
    pub(crate) priority: Priority,
    pub(crate) place: Place,
    pub(crate) stage: Stage,
    pub(crate) cancel: bool,
    /// The place in its lane; drawn anew each time the job becomes ready or waits.
    pub(crate) seq: u64,
    /// The order of first arrival, for lists.
    pub(crate) born: u64,
    pub(crate) charged: u32,
    pub(crate) max_attempts: u32,
    pub(crate) crashes: u32,
    pub(crate) claims: u64,
    pub(crate) version: u32,
    pub(crate) payload: Bytes,
    pub(crate) headers: Headers,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) batch: Option<BatchId>,
    /// The line in which it waits when it is ready.
    pub(crate) line: Option<u32>,
    /// It has left its line by a claim, and has neither ended nor come back.
    pub(crate) out: bool,
    pub(crate) idempotency: Option<Arc<KeyText>>,
    pub(crate) unique: Option<Arc<KeyText>>,
    pub(crate) errors: Vec<AttemptError>,
    /// By name.
    pub(crate) notes: Vec<Note>,
}

impl Job {
    /// The job as its claimer sees it.
    pub(crate) fn claimed(&self, lease: LeaseId, slot: u32, index: usize) -> ClaimedJob {
        let locator = [i64::from(slot), i64::try_from(index).unwrap_or(i64::MAX), 0];
        ClaimedJob {
            hold: Hold { job: self.id, lease, claims: self.claims, locator },
            kind: self.kind.clone(),
            priority: self.priority,
            attempt: self.charged.saturating_add(1),
            max_attempts: self.max_attempts,
            suspicion: match self.stage {
                Stage::Fresh | Stage::Returned => Suspicion::None,
                Stage::Suspect => Suspicion::Suspect,
                Stage::Solo => Suspicion::Solo,
            },
            payload: self.payload.clone(),
            version: self.version,
            headers: self.headers.clone(),
            idempotency_key: self.idempotency.as_ref().map(|k| k.joined()),
            enqueued_at: self.enqueued_at,
        }
    }

    /// Counts the running attempt.
    pub(crate) fn charge(&mut self) {
        self.charged = self.charged.saturating_add(1);
    }

    /// True if every attempt has been used.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.max_attempts != u32::MAX && self.charged >= self.max_attempts
    }

    /// Keeps a failure of the running attempt, which is not charged yet.
    pub(crate) fn keep_error(&mut self, at: Timestamp, worker: Option<WorkerId>, error: &ErrorReport) {
        if self.errors.len() == JobRecord::FIRST_ERRORS + JobRecord::LAST_ERRORS {
            self.errors.remove(JobRecord::FIRST_ERRORS);
        }
        let attempt = self.charged.saturating_add(1);
        self.errors.push(AttemptError { attempt, at, worker, error: error.as_str().to_owned() });
    }

    pub(crate) fn note(&mut self, edit: &NoteEdit, at: Timestamp) {
        let found = self.notes.binary_search_by(|n| n.name.as_str().cmp(&edit.name));
        match (found, &edit.value) {
            (Ok(place), None) => drop(self.notes.remove(place)),
            (Err(_), None) => {}
            (found, Some(value)) => {
                let note = Note { name: edit.name.clone(), value: value.clone(), at };
                match found {
                    Ok(place) => self.notes[place] = note,
                    Err(place) => self.notes.insert(place, note),
                }
            }
        }
    }

    pub(crate) fn state(&self) -> JobState {
        match self.place {
            Place::Ready => JobState::Ready,
            Place::Waiting { retrying: false, .. } => JobState::Scheduled,
            Place::Waiting { retrying: true, .. } => JobState::Retrying,
            Place::Running => JobState::Running,
            Place::Dead { .. } => JobState::Dead,
            Place::Completed { .. } => JobState::Completed,
        }
    }

    pub(crate) fn record(&self, queue: &QueueName, clock: &Clock) -> JobRecord {
        let running = u32::from(self.place == Place::Running);
        let (died_at, dead_reason) = match self.place {
            Place::Dead { at, reason } => (Some(clock.wall(at)), Some(reason)),
            _ => (None, None),
        };
        JobRecord {
            id: self.id,
            kind: self.kind.clone(),
            queue: queue.clone(),
            state: self.state(),
            priority: self.priority,
            attempt: self.charged.saturating_add(running),
            max_attempts: self.max_attempts,
            claims: self.claims,
            crashes: self.crashes,
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            enqueued_at: self.enqueued_at,
            run_at: match self.place {
                Place::Waiting { due, .. } => Some(clock.wall(due)),
                _ => None,
            },
            completed_at: match self.place {
                Place::Completed { at, .. } => Some(clock.wall(at)),
                _ => None,
            },
            died_at,
            dead_reason,
            errors: self.errors.clone(),
            notes: Vec::new(),
        }
    }
}
