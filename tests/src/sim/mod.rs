//! Whole runtimes over a bad network, in virtual time, decided by one number.
//!
//! Several [`Runtime`](job_core::Runtime)s with their real actors, and producers with real clients, share a store behind
//! a [`ChaosBackend`](crate::chaos::ChaosBackend). Workers crash, restart, are shut down, are cut off and freeze. Then
//! everything heals, and within a minute every acknowledged job must have ended; then the checker of the crash rig judges
//! the history. The same seed makes the same run to the byte, so a failure can be looked at as often as it takes.
//!
//! ```no_run
//! # use backend_memory::MemoryBackend;
//! use job_conformance::sim;
//!
//! # fn test() {
//! sim::run(&sim::Config::of_seeds(100), async || MemoryBackend::new());
//! # }
//! ```
//!
//! Any store that reads its time from tokio's clock can be simulated. The variable `SIM_SEEDS` sets the number of seeds,
//! `SIM_SEED` runs one and prints its trace; a failure says which.

mod job;
mod ledger;
mod life;
mod link;
mod nemesis;
mod outcome;
mod panics;
mod producer;
mod seeds;
mod tape;
mod totals;
mod world;

pub use outcome::Outcome;
pub use seeds::{Config, run, simulate};
pub use totals::Totals;
