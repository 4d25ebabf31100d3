//! What people and tools do with a store: look, replay, cancel, pause.

use crate::alerts::{AlertReport, RaisedAlert};
use crate::amendment::Amendment;
use crate::backend::Backend;
use crate::batch::BatchRecord;
use crate::error::BackendError;
use crate::gauges::Gauges;
use crate::limits::{LimitName, LimitRecord, LimitRule, LineRecord};
use crate::listing::{ListFilter, Page};
use crate::new_job::{Headers, Priority};
use crate::note::Note;
use crate::operation::{OperationEntry, OperationNote};
use crate::schedule::ScheduleChange;
use crate::verdict::DeadReason;
use crate::{BatchId, JobId, Kind, QueueName, ScheduleName, WorkerId};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A store with its administration. Every backend has it; a runtime takes it as `Arc<dyn Operate>`.
#[async_trait]
pub trait Operate: Backend {
    /// The job with this id and its notes, or `None` if it never was, or has completed and is not kept.
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError>;

    /// A page of jobs in one state, oldest first.
    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError>;

    /// Makes dead jobs ready again, attempts from 0; others stay as they are. One answer each: true if it was dead and
    /// is now ready. A job whose unique key has been taken since stays dead.
    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError>;

    /// Changes a dead job, as a whole or not at all: true if it was dead. Everything else about it stays: errors, attempts,
    /// keys, headers, when it died. A job in any other state is left alone.
    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError>;

    /// Makes a scheduled or retrying job ready at once; false if it is in another state. A job that waits for a batch does not
    /// wait for it any more.
    async fn run_now(&self, id: JobId) -> Result<bool, BackendError>;

    /// How far a batch has come, `None` if the store does not know it. One that has ended is forgotten after a day.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError>;

    /// Removes dead jobs for good. One answer each: true if it was dead.
    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError>;

    /// Cancels a job: at once if it waits, by asking its handler if it runs.
    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError>;

    /// Stops claims of a queue in all processes, until resumed. Running jobs go on.
    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError>;

    /// Lets a paused queue be claimed again.
    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError>;

    /// Stops claims of one kind in a queue in all processes, or lets it be claimed again. Its jobs stay where they are; other
    /// kinds and running jobs go on. It holds for a kind that the queue has never seen as well, and says nothing about a
    /// pause of the queue as a whole. Setting what is set already changes nothing.
    async fn set_kind_paused(&self, queue: &QueueName, kind: &Kind, paused: bool)
    -> Result<(), BackendError>;

    /// Stops claims of one kind in a queue, in all processes, until it is resumed. It survives restarts.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn pause_kind(&self, queue: &QueueName, kind: &Kind) -> Result<(), BackendError> {
        self.set_kind_paused(queue, kind, true).await
    }

    /// Lets a paused kind be claimed again, and wakes those who wait for work.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn resume_kind(&self, queue: &QueueName, kind: &Kind) -> Result<(), BackendError> {
        self.set_kind_paused(queue, kind, false).await
    }

    /// Pauses a queue, or one kind of it, and waits until none of its jobs runs in any process, or for `within`: true if none
    /// does. It stays paused either way, until it is resumed; jobs that wait stay where they are. What a process held that died
    /// counts as running until its lease ends.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn drain(
        &self,
        queue: &QueueName,
        kind: Option<&Kind>,
        within: Duration,
    ) -> Result<bool, BackendError> {
        crate::drain::drain(self, queue, kind, within).await
    }

    /// Sets what a limit allows, in place of what code declares, or leaves it to code again. It holds for all processes within
    /// moments and survives restarts. [`LimitName::of_queue`] and [`LimitName::of_kind`] limit a queue or a kind as a whole.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn set_limit(&self, limit: &LimitName, rule: Option<LimitRule>) -> Result<(), BackendError>;

    /// Lets a limit that was closed be used again, at once.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError>;

    /// Every limit that is declared, set or closed, by name.
    ///
    /// # Errors
    /// Those of the store.
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError>;

    /// Sets how many jobs a line may give whenever it is its turn, 1 unless set. It survives restarts, and holds for a line in
    /// which nothing waits as well. A store may take more than 1,000 for 1,000, and 0 for 1.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError>;

    /// Up to `limit` lines of a queue in which jobs wait, by kind and key from the one after `after`, or from the first.
    ///
    /// # Errors
    /// Those of the store.
    async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError>;

    /// Changes one schedule of a queue; false if it is not there, or not as it was seen. Pausing one that is paused changes nothing,
    /// nor does resuming one that is not.
    async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError>;

    /// Keeps a row about something that was done to many jobs of a queue: made at the first call with this id, its text replaced at
    /// the next ones. A note whose number is not above that of the row comes late, or again, and changes nothing. When a row is
    /// made, and only then, those go that began longer ago, by the store's clock, than its note says, and the oldest if there are
    /// more than 1,000. The text means nothing to the store.
    async fn note_operation(&self, queue: &QueueName, note: &OperationNote) -> Result<(), BackendError>;

    /// These rows, the one that began last first.
    async fn operations(&self, queue: &QueueName, limit: u32) -> Result<Vec<OperationEntry>, BackendError>;

    /// The numbers of one queue. May scan; not for a hot path.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BackendError>;

    /// The numbers that alerts are made of. Every runtime asks for them every few seconds, so the time they take must not
    /// grow with the number of jobs. Counts may stop at `count_to`; those that are cheap may go on.
    async fn gauges(&self, queue: &QueueName, count_to: u32) -> Result<Gauges, BackendError>;

    /// Every queue that ever had a job or a schedule, by name.
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError>;

    /// Keeps what a worker has raised, in place of what it reported before, for as long as the report says by the store's
    /// clock. One without alerts takes the last one away.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError>;

    /// Everything that any worker has reported and that is still valid, in no order. Nothing is merged: what two workers see
    /// is there twice. A worker that has just raised or cleared something reports it within moments; one that is gone is
    /// shown until its last report ends.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError>;
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// Can be claimed.
    Ready,
    /// A worker holds a lease on it.
    Running,
    /// Failed and waits for its next attempt.
    Retrying,
    /// Done.
    Completed,
    /// In the dead-letter queue.
    Dead,
    /// Cancelled.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Retrying,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word for it, in stores and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A job as a store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// The identity.
    pub id: JobId,
    /// The wire name.
    pub kind: Kind,
    /// Where it waits.
    pub queue: QueueName,
    /// Where it is in its life.
    pub state: JobState,
    /// How soon it runs.
    pub priority: Priority,
    /// Attempts counted so far, the running one included.
    pub attempt: u32,
    /// The number of attempts it may have; `u32::MAX` is unlimited.
    pub max_attempts: u32,
    /// How often it has been claimed.
    pub claims: u64,
    /// How often it was near enough a crash to be counted.
    pub crashes: u32,
    /// The arguments.
    pub payload: Bytes,
    /// Trace context and the like.
    pub headers: Headers,
    /// When the store took it.
    pub enqueued_at: Timestamp,
    /// When it may run, for scheduled and retrying jobs.
    pub run_at: Option<Timestamp>,
    /// When it completed, for those that are kept.
    pub completed_at: Option<Timestamp>,
    /// When it went dead.
    pub died_at: Option<Timestamp>,
    /// Why it is dead.
    pub dead_reason: Option<DeadReason>,
    /// What went wrong: the first 2 and the last 8 failures.
    pub errors: Vec<AttemptError>,
    /// What its handlers have noted, by name; left out of lists.
    pub notes: Vec<Note>,
}

impl JobRecord {
    /// How many of the first failures are kept.
    pub const FIRST_ERRORS: usize = 2;
    /// How many of the last failures are kept.
    pub const LAST_ERRORS: usize = 8;

    /// What its handler returned, as JSON: of a completed job whose type keeps results, looked up with [`Operate::get`].
    #[must_use]
    pub fn result(&self) -> Option<&Bytes> {
        let note = self.notes.iter().find(|n| n.name == Note::RESULT)?;
        (self.state == JobState::Completed).then_some(&note.value)
    }
}

/// One failure of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The attempt that failed.
    pub attempt: u32,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The worker whose attempt it was, if the store knows.
    pub worker: Option<WorkerId>,
    /// What went wrong.
    pub error: String,
}

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job waited and is now cancelled.
    Now,
    /// The job runs; its handler will be asked to stop. If it completes first, it is completed.
    Asked,
    /// There is no such job, or it has ended.
    NotFound,
}

/// The numbers of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Jobs that can be claimed now.
    pub ready: u64,
    /// Jobs under a lease.
    pub running: u64,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that wait for their next attempt.
    pub retrying: u64,
    /// Completed jobs that are kept.
    pub completed: u64,
    /// Jobs in the dead-letter queue.
    pub dead: u64,
    /// How long the oldest ready job has been waiting since it was enqueued.
    pub oldest_ready: Option<Duration>,
    /// True if claims are stopped.
    pub paused: bool,
    /// The kinds whose claims are stopped, by name.
    pub paused_kinds: Vec<Kind>,
}

/// A backend by value, or one already shared.
pub trait IntoBackend {
    /// The shared form.
    fn into_backend(self) -> Arc<dyn Operate>;
}

impl<T: Operate> IntoBackend for T {
    fn into_backend(self) -> Arc<dyn Operate> {
        Arc::new(self)
    }
}

impl<T: Operate> IntoBackend for Arc<T> {
    fn into_backend(self) -> Arc<dyn Operate> {
        self
    }
}

impl IntoBackend for Arc<dyn Operate> {
    fn into_backend(self) -> Arc<dyn Operate> {
        self
    }
}
