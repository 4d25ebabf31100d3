//! A stored job.

use crate::clock::{Clock, Tick};
use crate::keys::KeyText;
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{
    AttemptError, BatchId, ClaimedJob, DeadReason, ErrorReport, Headers, Hold, JobId, JobRecord, JobState,
    Kind, LeaseId, NewJob, Note, NoteEdit, Priority, QueueName, Suspicion, WorkerId,
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
    pub(crate) idempotency: Option<Arc<KeyText>>,
    pub(crate) unique: Option<Arc<KeyText>>,
    pub(crate) rare: Option<Box<Rare>>,
}

// Jobs are moved about, and more would cost each of them twice as much.
const _: () = assert!(size_of::<Option<Job>>() <= 256);

/// What few jobs have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    batch: Option<BatchId>,
    line: Option<u32>,
    out: bool,
    errors: Vec<AttemptError>,
    /// By name.
    notes: Vec<Note>,
}

impl Rare {
    pub(crate) fn of(new: &NewJob, line: Option<u32>) -> Option<Box<Self>> {
        let batch = new.batch();
        (batch.is_some() || line.is_some()).then(|| Box::new(Self { batch, line, ..Self::default() }))
    }
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

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The line in which it waits when it is ready.
    pub(crate) fn line(&self) -> Option<u32> {
        self.rare.as_ref()?.line
    }

    /// It has left its line by a claim, and has neither ended nor come back.
    pub(crate) fn go_out(&mut self) {
        self.rare_mut().out = true;
    }

    /// It is not out any more; whether it was.
    pub(crate) fn come_in(&mut self) -> bool {
        self.rare.as_mut().is_some_and(|rare| std::mem::take(&mut rare.out))
    }

    /// It is of no line any more.
    pub(crate) fn leave_line(&mut self) {
        self.rare_mut().line = None;
    }

    /// The batch that its end counts in.
    pub(crate) fn batch(&self) -> Option<BatchId> {
        self.rare.as_ref()?.batch
    }

    /// The same, which counts no other end of it.
    pub(crate) fn leave_batch(&mut self) -> Option<BatchId> {
        self.rare.as_mut()?.batch.take()
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.rare.as_ref().map(|rare| rare.notes.clone()).unwrap_or_default()
    }

    /// Keeps a failure of the running attempt, which is not charged yet.
    pub(crate) fn keep_error(&mut self, at: Timestamp, worker: Option<WorkerId>, error: &ErrorReport) {
        let attempt = self.charged.saturating_add(1);
        let errors = &mut self.rare_mut().errors;
        if errors.len() == JobRecord::FIRST_ERRORS + JobRecord::LAST_ERRORS {
            errors.remove(JobRecord::FIRST_ERRORS);
        }
        errors.push(AttemptError { attempt, at, worker, error: error.as_str().to_owned() });
    }

    pub(crate) fn note(&mut self, edit: &NoteEdit, at: Timestamp) {
        let notes = &mut self.rare_mut().notes;
        let found = notes.binary_search_by(|n| n.name.as_str().cmp(&edit.name));
        match (found, &edit.value) {
            (Ok(place), None) => drop(notes.remove(place)),
            (Err(_), None) => {}
            (found, Some(value)) => {
                let note = Note { name: edit.name.clone(), value: value.clone(), at };
                match found {
                    Ok(place) => notes[place] = note,
                    Err(place) => notes.insert(place, note),
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
            errors: self.rare.as_ref().map(|rare| rare.errors.clone()).unwrap_or_default(),
            notes: Vec::new(),
        }
    }
}
