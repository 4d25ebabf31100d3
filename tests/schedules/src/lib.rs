//! Threads in every order: the locks and wake-ups that the sources of the product are built with to be tested, and how
//! schedules are chosen.
//!
//! `tests/schedules/memory` and `tests/schedules/core` are `backend-memory` and `job-core` once more, from the same
//! sources, with `cfg(schedules)`: their modules named `sync` take the primitives of this package. Nothing of it is in
//! the packages that are published.

mod notify;
mod schedule;
mod tasks;

/// What takes the place of `std::sync` and `tokio::sync`.
pub mod sync {
    pub use crate::notify::{Notified, Notify};
    pub use crate::tasks::TaskTracker;
    pub use shuttle::sync::atomic::{AtomicBool, Ordering};
    pub use shuttle::sync::{Mutex, MutexGuard};
}

pub use schedule::{all, many, some_schedule_breaks};
