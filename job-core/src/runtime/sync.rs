//! Locks, wake-ups and tasks. Another build of these sources, in `tests/schedules`, has those of a scheduler.

#[cfg(not(schedules))]
pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(schedules))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(schedules))]
pub(crate) use tokio::sync::Notify;
#[cfg(not(schedules))]
pub(crate) use tokio_util::task::TaskTracker;

#[cfg(schedules)]
pub(crate) use schedules::sync::{AtomicBool, Mutex, MutexGuard, Notify, Ordering, TaskTracker};
