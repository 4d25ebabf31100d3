//! A network between a caller and a store that goes wrong by a seeded plan.
//!
//! [`ChaosBackend`] wraps any store. Each call draws its [`Fault`] from the plan: an error, a lost answer, a request that
//! arrives late or twice, a call that hangs, an outage. Every one of them is something that the contract permits a store
//! and the network before it to do, so whoever uses a store must get over all of them.
//!
//! ```
//! # use backend_memory::MemoryBackend;
//! use job_conformance::chaos::{ChaosBackend, Faults};
//! # async fn example() {
//! let store = ChaosBackend::new(MemoryBackend::new(), 42, Faults::default());
//! // ... run something over `store` ...
//! store.heal();
//! store.quiet().await;
//! assert!(store.tally()["duplicate"] > 0);
//! # }
//! ```
//!
//! Waiting is done on tokio's clock, so a paused test takes no time. Requests that outlive their caller run in tasks.

mod backend;
mod call;
mod fault;
mod schedules;

pub use backend::ChaosBackend;
pub use fault::{Fault, Faults, Operation, Tally};
