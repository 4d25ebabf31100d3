//! Schedules at run time: put, list, pause, resume, run now, remove.

use super::definition::{Definition, Origin};
use super::policy::{Missed, Overlap};
use super::spec::Schedule;
use super::store::{ScheduleChange, ScheduleEntry};
use super::tick::set_overlap;
use crate::backend::Enqueued;
use crate::client::Client;
use crate::error::{BackendError, EnqueueError};
use crate::job::Job;
use crate::new_job::NewJob;
use crate::{JobId, Kind, QueueName, ScheduleName};
use jiff::Timestamp;
use std::time::Duration;

/// The schedules of one queue, for people and tools. Made by [`Client::schedules`].
///
/// What is changed here is stored, and every runtime that works on the queue goes by it within 2 s. Ticks are fired by those
/// runtimes; without one, nothing fires.
///
/// ```
/// use job_core::{Client, JobResult, NewJob, QueueName, Schedule};
/// # async fn example(client: &Client, report: NewJob) -> Result<(), Box<dyn std::error::Error>> {
/// let schedules = client.schedules(QueueName::from_static("reports"));
/// let weekly = Schedule::new("weekly-acme", "0 7 * * mon")?.tz("America/New_York")?;
/// schedules.put_new(&weekly, &report).await?;
/// for schedule in schedules.list().await? {
///     println!("{} comes next at {:?}", schedule.name, schedule.next.first());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ScheduleStore {
    client: Client,
    queue: QueueName,
}

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// The name.
    pub name: ScheduleName,
    /// The wire name of the jobs that it enqueues; `None` if its text cannot be read by this version of the library: then it does
    /// not fire here.
    pub kind: Option<Kind>,
    /// The cron expression.
    pub cron: String,
    /// The time zone.
    pub zone: String,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// What a tick does while a job of the schedule is live.
    pub overlap: Overlap,
    /// The most that a run is delayed.
    pub jitter: Duration,
    /// Which definition this is; grows.
    pub version: u64,
    /// True if nothing fires.
    pub paused: bool,
    /// True if it is part of a program, by `#[job(cron(..))]` or the builder of a runtime: then only runtimes that have it fire
    /// it, and it comes back when such a runtime starts.
    pub in_code: bool,
    /// Up to here every tick has been decided.
    pub watermark: Timestamp,
    /// The next ticks after the store's now, without jitter: 5 unless time ends; none while it is paused.
    pub next: Vec<Timestamp>,
}

impl ScheduleRecord {
    /// How many ticks are shown.
    const NEXT: usize = 5;

    fn of(entry: ScheduleEntry, now: Timestamp) -> Self {
        let read = Definition::read(&entry.def).ok();
        let schedule = read.as_ref().map(|definition| &definition.schedule);
        let from = now.max(entry.watermark);
        let next = schedule.filter(|_| !entry.paused).map(|schedule| {
            let calendar = schedule.calendar();
            std::iter::successors(calendar.next(from), |tick| calendar.next(*tick)).take(Self::NEXT).collect()
        });
        Self {
            kind: read.as_ref().map(|definition| definition.kind.clone()),
            cron: schedule.map_or_else(String::new, |s| s.cron.clone()),
            zone: schedule.map_or_else(String::new, |s| s.zone.clone()),
            missed: schedule.map_or_else(Missed::default, |s| s.missed),
            overlap: schedule.map_or_else(Overlap::default, |s| s.overlap),
            jitter: schedule.map_or(Duration::ZERO, |s| s.jitter),
            in_code: read.as_ref().is_some_and(|definition| definition.origin != Origin::Client),
            next: next.unwrap_or_default(),
            name: entry.def.name,
            version: entry.version,
            paused: entry.paused,
            watermark: entry.watermark,
        }
    }
}

impl Client {
    /// The schedules of this queue.
    #[must_use]
    pub fn schedules(&self, queue: QueueName) -> ScheduleStore {
        ScheduleStore { client: self.clone(), queue }
    }
}

impl ScheduleStore {
    /// Adds a schedule, or changes the one of this name. The job is enqueued at each tick as it is given here, into this queue; its
    /// arguments go through the client's middleware, also when they are stored here. Its idempotency key, if its type has one, is
    /// left out: each tick is a request of its own. After a change of when it comes, or of the arguments, nothing from before the
    /// change is made up for. Repeating the call changes nothing.
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] if the job breaks a limit, is larger than 64 KiB, has a time of its own, or has a unique key beside
    /// an [`Overlap`] other than `Allow`. Otherwise those of the store; it may be called again.
    pub async fn put<J: Job>(&self, schedule: &Schedule, job: &J) -> Result<(), EnqueueError> {
        self.put_new(schedule, &NewJob::of(job)?).await
    }

    /// The same for an erased job. Its queue is this one, whatever it says.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_new(&self, schedule: &Schedule, job: &NewJob) -> Result<(), EnqueueError> {
        let job = NewJob { queue: self.queue.clone(), ..job.clone() };
        let (layers, max) = (self.client.layers(), self.client.payload_limit());
        let def = Definition::def_of(schedule, &job, Origin::Client, layers, max)?;
        let put = self.client.backend().put_schedules(&self.queue, std::slice::from_ref(&def)).await;
        put.map_err(|error| EnqueueError::from_backend(error, []))
    }

    /// Every schedule of the queue, by name, with its next ticks.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self) -> Result<Vec<ScheduleRecord>, BackendError> {
        let found = self.client.backend().schedules(&self.queue).await?;
        Ok(found.entries.into_iter().map(|entry| ScheduleRecord::of(entry, found.now)).collect())
    }

    /// Stops a schedule until it is resumed, across restarts; false if there is none of this name. Jobs that it has enqueued stay.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    pub async fn pause(&self, name: &ScheduleName) -> Result<bool, BackendError> {
        self.change(name, ScheduleChange::Pause).await
    }

    /// Lets a schedule go on; false if there is none of this name. Ticks of the pause are gone.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    pub async fn resume(&self, name: &ScheduleName) -> Result<bool, BackendError> {
        self.change(name, ScheduleChange::Resume).await
    }

    /// Removes a schedule; false if there is none of this name. Jobs that it has enqueued stay. One that a running program has in
    /// its code comes back: pause it instead.
    ///
    /// # Errors
    /// Those of the store; it may be called again.
    pub async fn remove(&self, name: &ScheduleName) -> Result<bool, BackendError> {
        self.change(name, ScheduleChange::Remove).await
    }

    /// Enqueues the job of a schedule now, beside its ticks, paused or not; `None` if there is none of this name. What the schedule
    /// says about overlap holds, so the answer may be a job that is live.
    ///
    /// # Errors
    /// As [`Client::enqueue_new`]. Each call is a request of its own.
    pub async fn run_now(&self, name: &ScheduleName) -> Result<Option<Enqueued>, EnqueueError> {
        let of_store = |error| EnqueueError::from_backend(error, []);
        let found = self.client.backend().schedules(&self.queue).await.map_err(of_store)?;
        let Some(entry) = found.entries.into_iter().find(|entry| entry.def.name == *name) else {
            return Ok(None);
        };
        let definition = Definition::read(&entry.def).map_err(|e| EnqueueError::rejected(e.to_string()))?;
        let mut job = Definition::job_of(&entry.def, &self.queue, self.client.layers())
            .map_err(EnqueueError::rejected)?;
        job.id = JobId::new();
        set_overlap(&mut job, name, definition.schedule.overlap);
        job.headers.insert(NewJob::SCHEDULE_HEADER.to_owned(), name.to_string());
        job.headers.insert(NewJob::TICK_HEADER.to_owned(), found.now.to_string());
        let answers = self.client.enqueue_new(std::slice::from_ref(&job)).await?;
        Ok(Some(answers.first().copied().unwrap_or(Enqueued::stored(job.id))))
    }

    async fn change(&self, name: &ScheduleName, change: ScheduleChange) -> Result<bool, BackendError> {
        self.client.backend().change_schedule(&self.queue, name, change).await
    }
}
