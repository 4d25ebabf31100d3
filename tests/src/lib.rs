//! The conformance kit of Steadfast: what a backend must do, as checks.
//!
//! Checks panic when a backend breaks the contract, as tests do.
#![doc = include_str!("../README.md")]

pub mod chaos;
pub mod checks;
#[doc(hidden)]
pub mod forward;
mod harness;
pub mod judge;
pub mod model;
#[cfg(all(feature = "rig", unix))]
pub mod mutants;
#[cfg(all(feature = "rig", unix))]
pub mod rig;
#[cfg(all(feature = "servers", unix))]
pub mod servers;
pub mod sim;
mod suite;
mod take;

pub use harness::{Cut, Harness, KIND, LONG, OTHER_KIND, QUEUE, abandon, job, jobs, report};
pub use suite::{Check, run};
pub use take::Take;
