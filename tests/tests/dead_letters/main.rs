//! The dead-letter queue as people use it.

mod changes;
mod fingerprints;
mod operations;
mod replays;
#[path = "../support/mod.rs"]
mod support;
