//! Schedules: jobs that come by the clock. What they say, which ticks are due, and what is stored of them.

mod admin;
mod calendar;
mod definition;
mod late;
mod plan;
mod policy;
mod spec;
mod store;
mod tick;

pub use admin::{ScheduleRecord, ScheduleStore};
pub use policy::{Missed, Overlap};
pub use spec::{Schedule, ScheduleError};
pub use store::{FireRequest, Fired, ScheduleChange, ScheduleDef, ScheduleEntry, Schedules};

pub(crate) use definition::{Definition, Origin};
pub(crate) use late::late;
pub(crate) use plan::{between, due};
pub(crate) use tick::jobs_of;
