//! Many seeds, each twice.

use super::nemesis;
use super::outcome::Outcome;
use super::panics;
use super::totals::Totals;
use super::world::World;
use crate::chaos::{ChaosBackend, Faults};
use job_core::IntoBackend;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Config {
    seeds: Range<u64>,
    faults: Faults,
    trouble: Duration,
    /// One seed was asked for by its number: tell all about it.
    one: bool,
}

impl Config {
    /// The seeds from 0, so many unless `SIM_SEEDS` says otherwise; or the one of `SIM_SEED`.
    ///
    /// # Panics
    /// If a variable is not a number.
    #[must_use]
    pub fn of_seeds(number: u64) -> Self {
        let variable = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
        };
        let one = variable("SIM_SEED");
        let seeds = one.map_or(0..variable("SIM_SEEDS").unwrap_or(number), |seed| seed..seed + 1);
        let faults = Faults { batch_max: Some(4), ..Faults::default() };
        Self { seeds, faults, trouble: Duration::from_secs(20), one: one.is_some() }
    }

    /// With a network like this.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// With trouble for this long, of virtual time; 20 s unless set.
    #[must_use]
    pub fn trouble(mut self, time: Duration) -> Self {
        self.trouble = time;
        self
    }

    /// The seeds.
    #[must_use]
    pub fn seeds(&self) -> Range<u64> {
        self.seeds.clone()
    }

    /// True if `SIM_SEED` names one seed: then there is nothing to say about how often things happen.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.one
    }
}

/// Runs one seed over the store that `make` makes.
///
/// # Panics
/// If the store fails where nothing was made to.
pub fn simulate<B: IntoBackend>(config: &Config, seed: u64, make: impl AsyncFn() -> B) -> Outcome {
    panics::watch();
    panics::take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    let mut outcome = runtime.block_on(async {
        let mut plan = StdRng::seed_from_u64(seed);
        let chaos = ChaosBackend::new(make().await, plan.random(), config.faults.clone());
        let mut world = World::new(plan.random(), chaos);
        nemesis::play(seed, config.trouble, &mut world).await
    });
    outcome.complaints.extend(panics::take());
    outcome
}

/// Runs every seed twice; returns what happened how often.
///
/// # Panics
/// If anything goes wrong with any seed, or two runs of one are not the same; it says which and how to do that again.
pub fn run<B: IntoBackend>(config: &Config, make: impl AsyncFn() -> B + Sync) -> Totals {
    let next = AtomicU64::new(config.seeds.start);
    let done = Mutex::new((Totals::default(), None::<(u64, String)>));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| config.seeds.contains(s))
        {
            let result = catch_unwind(AssertUnwindSafe(|| twice(config, seed, &make)));
            let result = result.unwrap_or_else(|_| Err(format!("seed {seed} panicked, see above")));
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(totals) => done.0.add(&totals),
                // The other threads may be at work on earlier seeds.
                Err(text) => {
                    next.fetch_max(config.seeds.end, Ordering::Relaxed);
                    if done.1.as_ref().is_none_or(|(worst, _)| seed < *worst) {
                        done.1 = Some((seed, text));
                    }
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (totals, failed) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((seed, text)) = failed {
        panic!("{text}\nAgain: {}", again(seed));
    }
    totals
}

fn twice<B: IntoBackend>(config: &Config, seed: u64, make: &impl AsyncFn() -> B) -> Result<Totals, String> {
    let outcome = simulate(config, seed, make);
    if config.one {
        println!("{}", outcome.trace);
    }
    if !outcome.is_good() {
        return Err(outcome.to_string());
    }
    match difference(&outcome.trace, &simulate(config, seed, make).trace) {
        Some(difference) => Err(format!("seed {seed} is not deterministic: {difference}")),
        None => Ok(outcome.totals),
    }
}

/// Where two traces part.
fn difference(first: &str, second: &str) -> Option<String> {
    if first == second {
        return None;
    }
    let pairs = first.lines().map(Some).chain([None]).zip(second.lines().map(Some).chain([None]));
    let (at, (a, b)) = pairs.enumerate().find(|(_, (a, b))| a != b)?;
    Some(format!("line {}\n  first:  {}\n  second: {}", at + 1, a.unwrap_or("(end)"), b.unwrap_or("(end)")))
}

/// The command that runs a seed again.
fn again(seed: u64) -> String {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "job-conformance".into());
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|p| p.file_stem()?.to_str()?.rsplit_once('-'));
    let test = name.map(|(test, _)| format!(" --test {test}")).unwrap_or_default();
    format!("SIM_SEED={seed} cargo test -p {package}{test}")
}
