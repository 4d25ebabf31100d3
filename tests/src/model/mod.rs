//! A model of the contract that makes thousands of random sequences of calls and shrinks the ones that go wrong.
//!
//! A backend's test calls it in one line:
//!
//! ```no_run
//! # use backend_memory::MemoryBackend;
//! use job_conformance::model;
//!
//! # fn test() {
//! model::run(model::Config::paused(), async || MemoryBackend::new());
//! # }
//! ```
//!
//! The variable `MODEL_CASES` sets the number of cases, `MODEL_SEED` the seed of the first; a failure prints both.

mod batches;
mod call;
mod cases;
mod controls;
mod dead;
mod driver;
mod keys;
mod marks;
mod notes;
mod picking;
mod plan;
mod reference;
mod search;
mod time;
mod waiting;
mod world;

pub use cases::{Config, run};
pub use search::{DEPTH, search};
