//! What the benches share: options, a no-op job, rounds and a table.

pub mod args;
mod drain;
pub mod limits;
pub mod memory;
mod noop;
mod peers;
mod place;
pub mod postgres;
pub mod redis;
mod report;
pub mod scheduled;
