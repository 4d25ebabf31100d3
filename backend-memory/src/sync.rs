//! Locks and wake-ups. Another build of these sources, in `tests/schedules`, has those of a scheduler.

#[cfg(not(schedules))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(schedules))]
pub(crate) use tokio::sync::Notify;

#[cfg(schedules)]
pub(crate) use schedules::sync::{Mutex, MutexGuard, Notify};
