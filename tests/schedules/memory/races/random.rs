//! Everything at once: producers, workers, a reaper and an operator, and what must be true of their history.

use super::{MANY, QUEUE, at_once, claim, enqueue, extend, maintain, many, new_job, settle, unique_job};
use crate::MemoryBackend;
use job_core::{Cancelled, ClaimedJob, JobId, LeaseStatus, Operate as _, Settled, Suspicion, Verdict};
use shuttle::future::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// What must have happened under some schedule, or the test shows nothing.
static SEEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

fn saw(what: &'static str, happened: bool) {
    if happened {
        SEEN.lock().expect("nobody panics").insert(what);
    }
}

/// What a worker did with one job that it was given.
#[derive(Debug)]
struct Run {
    given: ClaimedJob,
    extended: LeaseStatus,
    ending: Verdict,
    settled: Settled,
}

fn work(store: &MemoryBackend, ending: &Verdict) -> Vec<Run> {
    let mut runs = Vec::new();
    for lease_for in [Duration::ZERO, super::LONG] {
        for given in claim(store, lease_for) {
            let extended = extend(store, given.hold);
            let settled = settle(store, given.hold, ending.clone());
            runs.push(Run { given, extended, ending: ending.clone(), settled });
        }
    }
    runs
}

/// Works off what is left, alone.
fn drain(store: &MemoryBackend) -> Vec<Run> {
    let mut runs = Vec::new();
    for _ in 0..20 {
        maintain(store);
        runs.extend(work(store, &Verdict::Complete));
    }
    runs
}

fn check(
    stored: &BTreeSet<JobId>,
    cancelled: &BTreeMap<JobId, Cancelled>,
    runs: &[Run],
    store: &MemoryBackend,
) {
    for id in stored {
        let of: Vec<_> = runs.iter().filter(|run| run.given.hold.job == *id).collect();
        let applied: Vec<_> = of.iter().filter(|run| run.settled == Settled::Applied).collect();
        let done = applied.iter().filter(|run| run.ending == Verdict::Complete).count();
        let gone = cancelled.get(id).is_some_and(|answer| *answer != Cancelled::NotFound);
        assert!(done <= 1, "a job has two ends: {of:?}");
        assert!(done == 1 || gone, "a job has none: {of:?}");
        let claims: BTreeSet<_> = of.iter().map(|run| run.given.hold.claims).collect();
        assert_eq!(claims.len(), of.len(), "two claims have the same number: {of:?}");
        saw("a cancelled job had been running", cancelled.get(id) == Some(&Cancelled::Asked));
        saw("a cancelled job had been waiting", cancelled.get(id) == Some(&Cancelled::Now));
        saw("a job ended before it was cancelled", cancelled.get(id) == Some(&Cancelled::NotFound));
        saw("a job ran for two workers", of.len() > 1);
        for run in &of {
            saw("a verdict came after the reap", run.settled == Settled::Stale);
            saw("a lease was reaped before its extension", run.extended == LeaseStatus::Stale);
            saw("a suspect ran", run.given.suspicion == Suspicion::Suspect);
            // Nobody settles twice, and an extension lasts longer than any schedule.
            let right = if run.extended == LeaseStatus::Held { Settled::Applied } else { Settled::Stale };
            assert_eq!(run.settled, right, "the lease ended in between, or is current again: {run:?}");
        }
    }
    let stats = block_on(store.stats(&QUEUE)).expect("numbers");
    let left = [stats.ready, stats.running, stats.scheduled, stats.retrying, stats.dead];
    assert_eq!(left, [0; 5], "something is left");
}

#[test]
fn everything_at_once() {
    many(MANY, || {
        let store = MemoryBackend::new();
        let first = enqueue(&store, new_job()).id;
        let producers: Vec<_> =
            (0..2).map(|_| at_once(&store, |store| enqueue(store, unique_job()))).collect();
        let completes = at_once(&store, |store| work(store, &Verdict::Complete));
        let releases = at_once(&store, |store| work(store, &Verdict::Release));
        let reaper = at_once(&store, |store| {
            maintain(store);
            maintain(store);
        });
        let operator =
            at_once(&store, move |store| block_on(store.cancel(first)).expect("a cancel never fails"));
        let mut stored = BTreeSet::from([first]);
        let answers: Vec<_> = producers.into_iter().map(|p| p.join().expect("no call panics")).collect();
        stored.extend(answers.iter().map(|answer| answer.id));
        let new = answers.iter().filter(|answer| !answer.deduplicated).count();
        assert_eq!(new, stored.len() - 1, "a job for each answer that says so");
        let mut runs = completes.join().expect("no call panics");
        runs.extend(releases.join().expect("no call panics"));
        reaper.join().expect("no call panics");
        let cancelled = BTreeMap::from([(first, operator.join().expect("no call panics"))]);
        runs.extend(drain(&store));
        check(&stored, &cancelled, &runs, &store);
    });
    let seen = SEEN.lock().expect("nobody panics");
    assert_eq!(seen.len(), 7, "some things never happened; these did: {seen:?}");
}
