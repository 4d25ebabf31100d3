//! The crash rig: kills worker processes at random and at named points while jobs flow on a real PostgreSQL, kills that
//! too and spoils the network to it, and judges afterwards by what each process wrote down before it died.
//!
//! `run::run` is the whole of it; [`checker`] is the judge.
//!
//! Only the judge, with what it reads, is there without the feature `rig`: the simulation has the same one.

pub mod checker;
#[cfg(all(feature = "rig", unix))]
mod child;
#[cfg(all(feature = "rig", unix))]
pub mod cli;
#[cfg(all(feature = "rig", unix))]
pub mod crash_backend;
#[cfg(all(feature = "rig", unix))]
pub mod director;
pub mod event;
#[cfg(all(feature = "rig", unix))]
pub mod fate;
#[cfg(all(feature = "rig", unix))]
pub mod history;
#[cfg(all(feature = "rig", unix))]
mod job;
#[cfg(all(feature = "rig", unix))]
mod lives;
pub mod point;
#[cfg(all(feature = "rig", unix))]
mod producer;
#[cfg(all(feature = "rig", unix))]
pub mod report;
#[cfg(all(feature = "rig", unix))]
pub mod run;
#[cfg(all(feature = "rig", unix))]
mod store;
#[cfg(all(feature = "rig", unix))]
mod storms;
#[cfg(all(feature = "rig", unix))]
mod worker;

#[cfg(all(feature = "rig", unix))]
pub use store::AnyError;
