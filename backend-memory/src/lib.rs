//! The in-memory backend of Steadfast: embedded, bounded, for tests and single processes.
//!
//! It follows the same contract as the database backends, leases and fences included, and forgets everything with its
//! process. Time is tokio's, so `tokio::time::pause` and `advance` move leases and schedules.
//!
//! # Bounds
//! A store holds at most [`MemoryBackend::CAPACITY`] jobs (or the number given to
//! [`with_capacity`](MemoryBackend::with_capacity)), dead ones included; when it is full an enqueue answers a transient
//! error. It remembers as many idempotency keys within their window, and is full when it cannot remember another.
//! What makes repeated calls safe after a job is gone (receipts) is kept 24 hours, but only for the newest of as many
//! jobs. Follow-up jobs are always taken, so that a full store can be worked off.

mod alerts;
mod backend;
mod batches;
mod claim;
mod clock;
mod enqueue;
mod hash;
mod job;
mod kept;
mod keys;
mod lanes;
mod leases;
mod limited;
mod limits;
mod lines;
mod maintain;
mod notes;
mod operate;
mod operations;
mod queue;
mod refuse;
mod replace;
mod schedules;
mod settle;
mod state;
mod sync;
mod table;

#[cfg(all(test, schedules))]
#[path = "../../tests/schedules/memory/races/mod.rs"]
mod races;

pub use backend::MemoryBackend;
