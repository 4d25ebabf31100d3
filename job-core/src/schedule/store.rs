//! What a store knows of schedules: names, texts that it does not read, and how far each has been decided.

use crate::ScheduleName;
use crate::backend::Enqueued;
use crate::new_job::NewJob;
use jiff::Timestamp;

/// A schedule as a store is to keep it. Both texts mean nothing to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleDef {
    /// The name, one within its queue.
    pub name: ScheduleName,
    /// When it comes. Another text makes another version.
    pub definition: String,
    /// What is enqueued. Another text takes the place of the old one, and that is all.
    pub job: String,
}

/// A schedule as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// The schedule.
    pub def: ScheduleDef,
    /// Grows with each other definition, also if the schedule was removed in between.
    pub version: u64,
    /// Up to here every tick has been decided: fired, or left out. By the store's clock, in whole milliseconds or finer.
    pub watermark: Timestamp,
    /// True if nothing fires.
    pub paused: bool,
}

/// The schedules of a queue, by name, and what the store's clock said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedules {
    /// The store's clock; later than it never.
    pub now: Timestamp,
    /// The schedules.
    pub entries: Vec<ScheduleEntry>,
}

/// A step of a schedule: from one watermark to the next, and the jobs of the ticks in between that fire.
#[derive(Debug, Clone)]
pub struct FireRequest<'a> {
    /// Which schedule.
    pub schedule: &'a ScheduleName,
    /// The version that was looked at.
    pub version: u64,
    /// The watermark that was looked at, as the store told it.
    pub from: Timestamp,
    /// The new watermark: a whole second, later than `from`, and not later than the store's clock.
    pub to: Timestamp,
    /// The jobs, all for the schedule's queue, without an idempotency key, none with [`OnConflict::Error`](crate::OnConflict). Their
    /// ids are those of their ticks, so a repetition is recognised.
    pub jobs: &'a [NewJob],
}

/// The answer to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// The watermark has moved and the jobs are stored, now or by an earlier call with the same jobs; one answer each.
    Applied(Vec<Enqueued>),
    /// Nothing was changed: the schedule is gone or paused, has another version, or another watermark.
    Stale,
    /// Nothing was changed: `to` lies in the store's future.
    Early,
}

/// What is done to one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleChange {
    /// Nothing fires until it is resumed.
    Pause,
    /// It goes on; the ticks of the pause are gone.
    Resume,
    /// It is gone.
    Remove,
    /// It is gone if it is still as it was seen.
    RemoveUnchanged {
        /// The version that was seen.
        version: u64,
        /// The watermark that was seen.
        watermark: Timestamp,
    },
}
