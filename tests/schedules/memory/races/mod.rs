//! Two and more calls at once on the memory backend, in every order that its lock allows.

mod planted;
mod random;

use crate::MemoryBackend;
use job_core::{
    Backend as _, Cancelled, ClaimRequest, ClaimedJob, Enqueued, Hold, JobState, Kind, LeaseId, LeaseStatus,
    MaintainRequest, Maintained, NewJob, Operate as _, QueueName, Settled, Settlement, UniqueKey, Verdict,
    WorkerId,
};
use schedules::{all, many, some_schedule_breaks};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use std::time::Duration;

const QUEUE: QueueName = QueueName::from_static("q");
const KIND: Kind = Kind::from_static("k");
const LONG: Duration = Duration::from_secs(600);

/// More schedules than any test of two or three calls has.
const MOST: usize = 100_000;
/// How many schedules are tried where there are too many for all.
const MANY: usize = 10_000;

fn new_job() -> NewJob {
    NewJob::new(KIND, QUEUE, "{}")
}

fn unique_job() -> NewJob {
    let mut job = new_job();
    job.unique = Some(UniqueKey { scope: "s".into(), key: "k".into() });
    job
}

/// A store with so many ready jobs.
fn store_of(jobs: usize) -> MemoryBackend {
    let store = MemoryBackend::new();
    let new: Vec<_> = (0..jobs).map(|_| new_job()).collect();
    block_on(store.enqueue(&new)).expect("there is room");
    store
}

fn enqueue(store: &MemoryBackend, job: NewJob) -> Enqueued {
    block_on(store.enqueue(&[job])).expect("there is room")[0]
}

fn claim(store: &MemoryBackend, lease_for: Duration) -> Vec<ClaimedJob> {
    let request = ClaimRequest {
        lease: LeaseId::random(),
        worker: WorkerId::random(),
        kinds: &[KIND],
        limit: 1,
        lease_for,
        suspect_leases: &[LeaseId::random()],
        solo: true,
        ahead: &[],
    };
    block_on(store.claim(&QUEUE, &request)).expect("a claim never fails").jobs
}

/// A store with one job, claimed under a lease that has expired already, or one that has not.
fn claimed(lease_for: Duration) -> (MemoryBackend, Hold) {
    let store = store_of(1);
    let hold = claim(&store, lease_for)[0].hold;
    (store, hold)
}

fn settle(store: &MemoryBackend, hold: Hold, verdict: Verdict) -> Settled {
    block_on(store.settle(&QUEUE, &[Settlement::new(hold, verdict)])).expect("a settlement never fails")[0]
}

fn maintain(store: &MemoryBackend) -> Maintained {
    block_on(store.maintain(&QUEUE, &MaintainRequest::default())).expect("maintenance never fails")
}

fn extend(store: &MemoryBackend, hold: Hold) -> LeaseStatus {
    block_on(store.extend(&QUEUE, &[hold.lease], LONG)).expect("an extension never fails").leases[0]
}

fn state(store: &MemoryBackend, hold: Hold) -> Option<JobState> {
    block_on(store.get(hold.job)).expect("a look never fails").map(|record| record.state)
}

/// Makes a call in a thread of its own.
fn at_once<T: Send + 'static>(
    store: &MemoryBackend,
    call: impl FnOnce(&MemoryBackend) -> T + Send + 'static,
) -> JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || call(&store))
}

/// Both answers.
fn both<A, B>(first: JoinHandle<A>, second: JoinHandle<B>) -> (A, B) {
    (first.join().expect("no call panics"), second.join().expect("no call panics"))
}

type Claims = fn(&MemoryBackend, Duration) -> Vec<ClaimedJob>;

/// claim || claim: one of both gets the only job.
fn two_claims(claims: Claims) {
    let store = store_of(1);
    let call = move |store: &MemoryBackend| claims(store, LONG);
    let (first, second) = both(at_once(&store, call), at_once(&store, call));
    assert_eq!(first.len() + second.len(), 1, "one job for two claims");
}

type Settles = fn(&MemoryBackend, Hold, Verdict) -> Settled;

/// settle || settle: one is applied, and the other one knows.
fn two_verdicts(settles: Settles) {
    let (store, hold) = claimed(LONG);
    let call = move |store: &MemoryBackend| settles(store, hold, Verdict::Complete);
    let (first, second) = both(at_once(&store, call), at_once(&store, call));
    let applied = [first, second].into_iter().filter(|answer| *answer == Settled::Applied).count();
    assert_eq!(applied, 1, "one verdict counts: {first:?}, {second:?}");
    assert_eq!(state(&store, hold), None);
}

type Maintains = fn(&MemoryBackend) -> Maintained;

/// settle || reap: the verdict or the reap, never both and never neither.
fn verdict_and_reap(settles: Settles, maintains: Maintains) {
    let (store, hold) = claimed(Duration::ZERO);
    let verdict = at_once(&store, move |store| settles(store, hold, Verdict::Complete));
    let (settled, reaped) = both(verdict, at_once(&store, maintains));
    match settled {
        Settled::Applied => {
            assert_eq!((reaped.jobs_returned, state(&store, hold)), (0, None), "the verdict counts");
        }
        _ => assert_eq!((settled, reaped.jobs_returned), (Settled::Stale, 1), "the reap counts"),
    }
}

/// extend || reap: a lease that was extended is not reaped.
fn extension_and_reap(maintains: Maintains) {
    let (store, hold) = claimed(Duration::ZERO);
    let extension = at_once(&store, move |store| extend(store, hold));
    let (extended, reaped) = both(extension, at_once(&store, maintains));
    match extended {
        LeaseStatus::Held => {
            assert_eq!(reaped.leases_reaped, 0, "an extended lease was reaped");
            assert_eq!(state(&store, hold), Some(JobState::Running));
        }
        LeaseStatus::Stale => assert_eq!(reaped.leases_reaped, 1),
    }
}

type Enqueues = fn(&MemoryBackend, NewJob) -> Enqueued;

/// enqueue || enqueue with the same unique key: one job, which both answers name.
fn two_of_a_key(enqueues: Enqueues) {
    let store = MemoryBackend::new();
    let call = move |store: &MemoryBackend| enqueues(store, unique_job());
    let (first, second) = both(at_once(&store, call), at_once(&store, call));
    assert_eq!(first.id, second.id, "two jobs have the key");
    assert_ne!(first.deduplicated, second.deduplicated);
    assert_eq!(block_on(store.stats(&QUEUE)).expect("numbers").ready, 1);
}

/// cancel || settle: the job is gone, whoever was first, even if the verdict was to run it again.
fn cancel_and_verdict(verdict: &Verdict) {
    let (store, hold) = claimed(LONG);
    let cancel =
        at_once(&store, move |store| block_on(store.cancel(hold.job)).expect("a cancel never fails"));
    let verdict = verdict.clone();
    let comes_back = verdict != Verdict::Complete;
    let (cancelled, settled) = both(cancel, at_once(&store, move |store| settle(store, hold, verdict)));
    assert_eq!(settled, Settled::Applied);
    assert_eq!(state(&store, hold), None);
    let late = if comes_back { Cancelled::Now } else { Cancelled::NotFound };
    assert!(cancelled == Cancelled::Asked || cancelled == late, "cancel answers {cancelled:?}");
}

type Waits = fn(&MemoryBackend);

fn wait(store: &MemoryBackend) {
    block_on(store.wait(&QUEUE)).expect("a wait never fails");
}

/// wait || enqueue: whoever looks, finds nothing and waits is woken; a lost wake-up is a deadlock here.
fn wait_and(waits: Waits, makes_ready: impl FnOnce(&MemoryBackend) + Send + 'static, store: &MemoryBackend) {
    let waiter = at_once(store, move |store| {
        while claim(store, LONG).is_empty() {
            waits(store);
        }
    });
    let maker = at_once(store, makes_ready);
    both(waiter, maker);
}

fn wait_and_enqueue(waits: Waits) {
    let enqueues = |store: &MemoryBackend| _ = enqueue(store, new_job());
    wait_and(waits, enqueues, &MemoryBackend::new());
}

#[test]
fn claim_and_claim() {
    all(MOST, || two_claims(claim));
}

#[test]
fn settle_and_settle() {
    all(MOST, || two_verdicts(settle));
}

#[test]
fn settle_and_reap() {
    all(MOST, || verdict_and_reap(settle, maintain));
}

#[test]
fn extend_and_reap() {
    all(MOST, || extension_and_reap(maintain));
}

#[test]
fn enqueue_and_enqueue_with_a_unique_key() {
    all(MOST, || two_of_a_key(enqueue));
}

#[test]
fn cancel_and_settle() {
    all(MOST, || cancel_and_verdict(&Verdict::Complete));
    all(MOST, || cancel_and_verdict(&Verdict::Release));
    all(MOST, || cancel_and_verdict(&Verdict::Snooze { delay: LONG }));
}

#[test]
fn wait_and_enqueue_job() {
    many(MANY, || wait_and_enqueue(wait));
}

/// Everything else that makes a job ready.
#[test]
fn wait_and_return() {
    many(MANY, || {
        let (store, hold) = claimed(LONG);
        wait_and(wait, move |store| _ = settle(store, hold, Verdict::Release), &store);
    });
    many(MANY, || {
        let (store, _) = claimed(Duration::ZERO);
        wait_and(wait, |store| _ = maintain(store), &store);
    });
    many(MANY, || {
        let store = store_of(1);
        block_on(store.pause(&QUEUE)).expect("a pause never fails");
        wait_and(wait, |store| block_on(store.resume(&QUEUE)).expect("a resume never fails"), &store);
    });
}

/// A race that was planted, and what the test says of it.
fn found(what: &str, test: impl Fn() + Send + Sync + Clone + 'static) {
    let said = some_schedule_breaks(MANY, test);
    assert!(said.contains(what), "another failure was found: {said}");
}

#[test]
fn a_claim_that_looks_and_then_takes_is_found() {
    found("one job for two claims", || two_claims(planted::claim));
}

#[test]
fn a_verdict_that_looks_and_then_applies_is_found() {
    found("one verdict counts", || two_verdicts(planted::settle));
    found("the verdict counts", || verdict_and_reap(planted::settle, maintain));
}

#[test]
fn a_reap_that_looks_and_then_ends_is_found() {
    found("an extended lease was reaped", || extension_and_reap(planted::maintain));
}

#[test]
fn a_unique_key_that_is_looked_for_and_then_taken_is_found() {
    found("two jobs have the key", || two_of_a_key(planted::enqueue));
}

#[test]
fn a_waiter_that_counts_itself_and_then_listens_is_found() {
    found("deadlock", || wait_and_enqueue(planted::wait));
}
