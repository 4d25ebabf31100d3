//! Schedules in whole runtimes under paused time.

mod in_code;
#[path = "../support/mod.rs"]
mod support;
mod ticks;
mod world;
