//! Whole runtimes over a bad network in virtual time, and proof that such a simulation can fail.

#[allow(dead_code, reason = "not every defect shows here")]
mod broken_store;

use backend_memory::MemoryBackend;
use broken_store::{Broken, Defect};
use job_conformance::judge::Rule;
use job_conformance::sim::{self, Config, Outcome};

/// What CI runs; about half a minute on two cores.
const SEEDS: u64 = 200;

#[test]
fn runtimes_over_a_bad_network_lose_nothing() {
    let config = Config::of_seeds(SEEDS);
    let totals = sim::run(&config, async || MemoryBackend::new());
    println!("{totals}");
    if !config.is_one() {
        assert_eq!(totals.missing(SEEDS / 4), [""; 0], "it proves too little: {totals}");
    }
}

/// The first of a few seeds that goes wrong over a store with this defect.
fn first_failure(defect: Defect) -> Outcome {
    let config = Config::of_seeds(10);
    let mut outcomes = (0..10).map(|seed| sim::simulate(&config, seed, async || Broken::new(defect)));
    outcomes.find(|o| !o.is_good()).unwrap_or_else(|| panic!("{defect:?} is not found"))
}

macro_rules! found {
    ($($test:ident: $defect:ident by $($rule:ident)|+;)*) => {
        $(#[test]
        fn $test() {
            let outcome = first_failure(Defect::$defect);
            let by = [$(Rule::$rule),+].into_iter().find(|rule| outcome.broken.contains(rule));
            assert!(by.is_some(), "found by others:\n{outcome}");
        })*
    };
}

found! {
    a_dropped_fence: NoFence by TwoEnds;
    forgotten_receipts: ForgetsReceipts by Lost;
    a_verdict_twice: AppliesTwice by Early;
    repeats_as_new_jobs: RepeatsEnqueue by RefusedButRan;
    revived_jobs: Revives by Phantom;
    an_idle_extension: ExtendDoesNothing by Stranded;
    answers_out_of_order: AnswersBackwards by KeyTwice;
    short_memory_for_keys: ForgetsKeysOfTheDone by KeyTwice;
    a_job_for_two: GivesTwice by TwoHolders;
    no_delay: IgnoresDelay by Early;
}

/// What only the ledger of leases sees.
macro_rules! told {
    ($($test:ident: $defect:ident by $text:literal;)*) => {
        $(#[test]
        fn $test() {
            let outcome = first_failure(Defect::$defect);
            assert!(outcome.complaints.iter().any(|c| c.contains($text)), "found by others:\n{outcome}");
        })*
    };
}

told! {
    too_many_jobs: IgnoresLimit by "a claim of 4 and 1 gave 5";
    an_early_reap: ReapsEarly by "was given away";
    a_greedy_repeated_claim: RepeatsClaim by "which it did not name";
}
