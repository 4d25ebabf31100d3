//! Which schedules are tried.

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The same schedules at every run.
const SEED: u64 = 1;

/// How many changes of thread a schedule has that only a bug needs (the depth of PCT).
const CHANGES: usize = 3;

fn config() -> Config {
    let mut config = Config::new();
    // Atomics are taken as sequentially consistent, and that is said in the README.
    config.silence_warnings = true;
    config
}

/// Runs `test` under every schedule there is, and fails if there are more than `most`. For two or three calls.
///
/// # Panics
/// If `test` does under one of them.
pub fn all(most: usize, test: impl Fn() + Send + Sync + 'static) {
    let tried = Runner::new(DfsScheduler::new(Some(most + 1), false), config()).run(test);
    assert!(tried <= most, "there are more than {most} schedules: not all were tried");
    println!("all {tried} schedules");
}

/// Runs `test` under so many schedules: half of them random, half of them with few changes of thread at bad moments.
///
/// # Panics
/// If `test` does under one of them; the output says how to repeat it.
pub fn many(schedules: usize, test: impl Fn() + Send + Sync + Clone + 'static) {
    let random = RandomScheduler::new_from_seed(SEED, schedules / 2);
    Runner::new(random, config()).run(test.clone());
    let few = PctScheduler::new_from_seed(SEED, CHANGES, schedules - schedules / 2);
    Runner::new(few, config()).run(test);
}

/// The other way round: proof that a race is found, and what is said of it.
///
/// # Panics
/// If `test` is right under all of so many schedules.
#[must_use]
pub fn some_schedule_breaks(schedules: usize, test: impl Fn() + Send + Sync + Clone + 'static) -> String {
    let broken = catch_unwind(AssertUnwindSafe(|| many(schedules, test)));
    let panic = broken.expect_err("one of the schedules must break it");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned()
}
