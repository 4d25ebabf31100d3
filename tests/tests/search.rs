//! Every state that two jobs and two workers can get into within nine events, and the memory backend in all of them.

#[allow(dead_code, reason = "the random cases use the rest of it")]
mod broken_store;

use backend_memory::MemoryBackend;
use broken_store::{Broken, Defect};
use job_conformance::model;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn every_state_keeps_the_contract() {
    model::search(model::DEPTH, async || MemoryBackend::new());
}

/// What the search asks of the backend can fail: a store with a defect, and what is said of it.
fn found(defect: Defect, depth: usize, what: &str) {
    let run = || model::search(depth, async || Broken::new(defect));
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the search must find it");
    let report = panic.downcast_ref::<String>().expect("a panic has a text");
    println!("{defect:?}: {report}");
    assert!(report.contains(what), "{defect:?}: found something else:\n{report}");
}

macro_rules! found {
    ($($test:ident: $defect:ident in $depth:literal says $what:literal;)*) => {$(
        #[test]
        fn $test() {
            found(Defect::$defect, $depth, $what);
        }
    )*};
}

found! {
    a_dropped_fence: NoFence in 5 says "settle answers: the backend says [Applied], the contract [Stale]";
    forgotten_receipts: ForgetsReceipts in 5
        says "settle answers: the backend says [Stale], the contract [AlreadyApplied]";
    revived_jobs: Revives in 5 says "enqueue answers: the backend says [(\"unknown";
    an_early_reap: ReapsEarly in 5 says "leases_reaped: 1";
    an_idle_extension: ExtendDoesNothing in 7 says "leases_reaped: 1";
    too_many_jobs: IgnoresLimit in 5 says "too much was taken";
    a_greedy_repeated_claim: RepeatsClaim in 5 says "a lease that nobody made";
    a_job_for_two: GivesTwice in 5 says "which the claim did not offer";
}
