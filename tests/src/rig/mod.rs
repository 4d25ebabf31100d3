//! The crash rig: kills worker processes at random and at named points while jobs flow on a real server, kills that too and
//! spoils the network to it, and judges afterwards by what each process wrote down before it died.
//!
//! `run::run` is the whole of it; [`judge`](crate::judge) has the rules.

mod child;
pub mod cli;
pub mod crash_backend;
pub mod director;
pub mod fate;
pub mod history;
mod http;
mod job;
mod lives;
mod outside;
mod producer;
pub mod report;
pub mod run;
mod store;
mod storms;
pub mod ticks;
mod worker;

pub use store::{AnyError, Store};
