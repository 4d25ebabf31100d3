//! The crash rig: kills worker processes at random and at named points while jobs flow on a real PostgreSQL, kills that
//! too and spoils the network to it, and judges afterwards by what each process wrote down before it died.
//!
//! [`run::run`] is the whole of it; [`checker`] is the judge.

pub mod checker;
mod child;
pub mod cli;
pub mod crash_backend;
pub mod director;
pub mod event;
pub mod history;
mod job;
mod lives;
pub mod point;
mod producer;
pub mod report;
pub mod run;
mod store;
mod storms;
mod worker;

pub use store::AnyError;
