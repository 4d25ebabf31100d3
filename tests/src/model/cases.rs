//! Runs cases, some at a time, and shrinks the first that fails.

use super::call::Step;
use super::driver::{Checked, Driver, Stop};
use super::marks::MARKS;
use super::plan::Plan;
use super::reference::Reference;
use super::time::Timeline;
use super::world::World;
use job_core::IntoBackend;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as Proptest, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How many cases, and by which clock.
#[derive(Debug, Clone)]
#[must_use]
pub struct Config {
    cases: u32,
    steps: usize,
    at_once: usize,
    unit: Duration,
    paused: bool,
    seed: u64,
}

impl Config {
    /// For a store that lives by tokio's clock: 2,000 cases, in no time.
    pub fn paused() -> Self {
        Self { cases: 2_000, steps: 50, at_once: 2, unit: Duration::from_secs(1), paused: true, seed: 1 }
    }

    /// For a store with a clock of its own, such as a server: 200 cases, 16 at a time, in units of 250 ms.
    pub fn real_time() -> Self {
        let unit = Duration::from_millis(250);
        Self { cases: 200, steps: 50, at_once: 16, unit, paused: false, seed: 1 }
    }

    /// The number of cases, unless `MODEL_CASES` says otherwise.
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// The most steps in a case.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// How many cases run at the same time.
    pub fn at_once(mut self, cases: usize) -> Self {
        self.at_once = cases.max(1);
        self
    }

    /// The unit of time. A call must take much less than two fifths of it.
    pub fn unit(mut self, unit: Duration) -> Self {
        self.unit = unit;
        self
    }

    /// The seed of the first case, unless `MODEL_SEED` says otherwise; the next case has the next number.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn with_environment(mut self) -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
        };
        if let Some(cases) = number("MODEL_CASES") {
            self.cases = u32::try_from(cases).expect("MODEL_CASES is a sensible number");
        }
        self.seed = number("MODEL_SEED").unwrap_or(self.seed);
        self
    }
}

/// How much time shrinking may take.
const SHRINKING: Duration = Duration::from_secs(90);

/// With so many cases, everything must have happened in one.
const ENOUGH: usize = 1_000;

/// Runs the cases of `config`, each on what `factory` makes: a fresh store, or one that cases share.
///
/// # Panics
/// If the backend breaks the contract, with the shortest sequence of calls that shows it; or if more than a tenth of
/// the cases cannot be judged because calls take too long.
pub fn run<B: IntoBackend>(config: Config, factory: impl AsyncFn() -> B + Sync) {
    let config = config.with_environment();
    let suite = Suite {
        runtime: (!config.paused).then(|| {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime starts")
        }),
        next: AtomicU32::new(0),
        late: AtomicUsize::new(0),
        marks: Mutex::default(),
        failed: AtomicBool::new(false),
        failure: Mutex::new(None),
        config,
        factory,
    };
    thread::scope(|scope| {
        for _ in 0..suite.config.at_once {
            scope.spawn(|| suite.work());
        }
    });
    if let Some(failure) = suite.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        panic!("{failure}");
    }
    let (late, cases) = (suite.late.into_inner(), suite.config.cases as usize);
    println!("{cases} cases, {late} of them not judged because a call took too long");
    assert!(
        late * 10 <= cases,
        "{late} of {cases} cases could not be judged, because calls took more than two fifths of {:?}: give a longer \
         unit or run fewer cases at once",
        suite.config.unit
    );
    let marks = suite.marks.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<_> = MARKS.iter().filter(|mark| !marks.contains(*mark)).collect();
    assert!(cases < ENOUGH || missing.is_empty(), "{cases} cases never showed: {missing:?}");
}

struct Suite<F> {
    config: Config,
    factory: F,
    /// For stores with a clock of their own. On a paused clock every thread has a runtime for itself.
    runtime: Option<Runtime>,
    next: AtomicU32,
    late: AtomicUsize,
    marks: Mutex<BTreeSet<&'static str>>,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

enum Verdict {
    Right,
    Late,
    Wrong(String),
}

impl<B: IntoBackend, F: AsyncFn() -> B + Sync> Suite<F> {
    fn work(&self) {
        let own = self.runtime.is_none().then(|| {
            let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime starts")
        });
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.config.cases || self.failed.load(Ordering::Relaxed) {
                return;
            }
            let seed = self.config.seed.wrapping_add(u64::from(number));
            let mut case = self.case(seed);
            let (_, steps, seen) = case.current();
            let mut verdict = self.judge(own.as_ref(), &steps, seen.as_deref());
            if matches!(verdict, Verdict::Late) {
                // Nothing is known of it yet: a busy machine deserves another look.
                verdict = self.judge(own.as_ref(), &steps, None);
            }
            match verdict {
                Verdict::Right => {}
                Verdict::Late => drop(self.late.fetch_add(1, Ordering::Relaxed)),
                Verdict::Wrong(what) => {
                    self.failed.store(true, Ordering::Relaxed);
                    let report = self.shrink(own.as_ref(), seed, &mut case, (steps, what));
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(report);
                    return;
                }
            }
        }
    }

    fn case(&self, seed: u64) -> impl ValueTree<Value = Generated> + use<B, F> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let proptest = Proptest { failure_persistence: None, ..Proptest::default() };
        let mut runner = TestRunner::new_with_rng(proptest, rng);
        let strategy = Plan::sequential_strategy(1..=self.config.steps.max(1));
        strategy.new_tree(&mut runner).expect("every step can be made in every state")
    }

    /// The shortest failure that can be found in the time, as a report.
    fn shrink(
        &self,
        own: Option<&Runtime>,
        seed: u64,
        case: &mut impl ValueTree<Value = Generated>,
        first: Failure,
    ) -> String {
        let (mut steps, mut what) = first;
        let deadline = Instant::now() + SHRINKING;
        // One case after the other, which takes too long on a real clock.
        let mut more = self.config.paused && case.simplify();
        while more && Instant::now() < deadline {
            let (_, shorter, seen) = case.current();
            more = match self.judge(own, &shorter, seen.as_deref()) {
                Verdict::Wrong(still) => {
                    (steps, what) = (shorter, still);
                    case.simplify()
                }
                Verdict::Right | Verdict::Late => case.complicate(),
            };
        }
        let (steps, what) = self.without_steps(own, (steps, what), deadline);
        let mut report = String::from("the backend breaks the contract:\n");
        for (n, step) in steps.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(report, "{:4}. {step}", n + 1);
        }
        let steps = self.config.steps;
        let _ = write!(
            report,
            "{what}\nAgain: MODEL_SEED={seed} MODEL_CASES=1 (at most {steps} steps in a case)"
        );
        report
    }

    /// Takes out steps that are not needed, first many at a time, then one by one.
    fn without_steps(&self, own: Option<&Runtime>, failure: Failure, deadline: Instant) -> Failure {
        let (mut steps, mut what) = failure;
        let mut size = steps.len().div_ceil(2);
        while size > 0 && Instant::now() < deadline {
            let without = |start: usize| {
                let end = steps.len().min(start + size);
                [&steps[..start], &steps[end..]].concat()
            };
            let shorter: Vec<_> = (0..steps.len()).step_by(size).rev().map(without).collect();
            if let Some(still) = self.first_wrong(own, &shorter) {
                (steps, what) = still;
                size = size.min(steps.len().div_ceil(2));
            } else {
                size = if size == 1 { 0 } else { size.div_ceil(2) };
            }
        }
        (steps, what)
    }

    /// The first of these cases that fails; as many at once as the suite runs.
    fn first_wrong(&self, own: Option<&Runtime>, cases: &[Vec<Step>]) -> Option<Failure> {
        let wrong = |steps: &Vec<Step>, own| match self.judge(own, steps, None) {
            Verdict::Wrong(what) => Some((steps.clone(), what)),
            Verdict::Right | Verdict::Late => None,
        };
        if own.is_some() {
            return cases.iter().find_map(|steps| wrong(steps, own));
        }
        cases.chunks(self.config.at_once).find_map(|some| {
            thread::scope(|scope| {
                let threads: Vec<_> =
                    some.iter().map(|steps| scope.spawn(move || wrong(steps, None))).collect();
                let results: Vec<_> =
                    threads.into_iter().map(|t| t.join().expect("panics of cases are caught")).collect();
                results.into_iter().flatten().next()
            })
        })
    }

    /// Runs a case on a store. A panic of the backend is a failure like any other.
    fn judge(&self, own: Option<&Runtime>, steps: &[Step], seen: Option<&AtomicUsize>) -> Verdict {
        let case = self.play(steps, seen);
        let outcome = catch_unwind(AssertUnwindSafe(|| match (own, &self.runtime) {
            (Some(own), _) => own.block_on(case),
            (None, Some(shared)) => shared.block_on(case),
            (None, None) => unreachable!("one of both is there"),
        }));
        match outcome {
            Ok(Ok(())) => Verdict::Right,
            Ok(Err(Stop::Late)) => Verdict::Late,
            Ok(Err(Stop::Wrong(what))) => Verdict::Wrong(what),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Verdict::Wrong(format!("a panic: {}", text.unwrap_or("without a text")))
            }
        }
    }

    async fn play(&self, steps: &[Step], seen: Option<&AtomicUsize>) -> Checked<()> {
        let backend = (self.factory)().await.into_backend();
        let mut driver = Driver {
            world: World::new(backend),
            reference: Reference::default(),
            time: Timeline::start(self.config.unit, self.config.paused),
        };
        for step in steps {
            if let Some(seen) = seen {
                // Tells shrinking how far the case came.
                seen.fetch_add(1, Ordering::Relaxed);
            }
            driver.step(step).await?;
            if self.config.paused {
                driver.compare().await?;
            }
        }
        driver.compare().await?;
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.append(&mut driver.reference.marks);
        Ok(())
    }
}

/// A case that fails, and how.
type Failure = (Vec<Step>, String);

/// What the generator gives: the state at the start, the steps, and a counter of those made.
type Generated = (Reference, Vec<Step>, Option<Arc<AtomicUsize>>);
