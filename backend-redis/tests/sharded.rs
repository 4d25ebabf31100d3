//! Queues of four parts, for a user with no more rights than the documentation names.

mod support;

use job_conformance::{Check, Harness, checks};
use job_core::{
    Backend, JobId, JobState, ListFilter, MaintainRequest, NewJob, Operate, Settled, Settlement, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use support::store::Store;
use support::work::{KIND, LONG, QUEUE, claim_for, drain, enqueue_one, job, jobs, prefix_of};
use support::{connect, server, user};

/// Checks that count on one order of all jobs of a queue, or on batches that are whole over all of it, which a queue in parts
/// does not have. What is left of them is below.
const OF_ONE_PART: [&str; 24] = [
    // First in, first out; and pages in that order.
    "first_in_first_out",
    "kinds_share_one_order",
    "priority_comes_first",
    "priority_comes_first_across_claims",
    "returned_jobs_go_first_in_their_priority",
    "a_scheduled_job_queues_when_it_is_due",
    "a_replacement_keeps_the_place_in_line",
    "a_list_goes_through_every_job_once",
    "lines_and_lanes_share_a_claim",
    "lines_and_lanes_share_a_limit",
    // They tell jobs apart by the order in which they come.
    "the_largest_batch_arrives",
    "a_nul_in_a_header_is_kept_or_refused",
    "many_large_payloads_arrive",
    "payloads_come_back_byte_for_byte",
    "only_named_kinds_are_claimed",
    "settled_jobs_do_not_come_back",
    "a_repeated_enqueue_revives_nothing",
    "a_job_twice_in_a_batch_is_stored_once",
    "a_thousand_mixed_verdicts",
    "administration_answers_in_order",
    "a_list_has_one_state",
    // One lease, and one answer to a claim that is repeated, in each part.
    "jobs_of_an_expired_lease_come_back",
    "a_repeated_claim_returns_the_same_jobs",
    // A batch is whole in each part.
    "a_dropped_enqueue",
];

/// Claims that are repeated after their lease has ended may find jobs in another part.
const OF_ONE_LEASE: [&str; 2] = ["a_lost_claim_expires", "maintenance_keeps_receipts"];

fn url() -> String {
    let url = server().fresh_url();
    let (_, parameters) = url.split_once('?').expect("it has a prefix");
    let prefix = prefix_of(&url);
    user::make(server(), prefix, prefix, &["+zscan"]);
    format!("{}?{parameters}&shards=4", user::url(server(), prefix))
}

/// One after the other in each of these threads; most of the time they wait.
const THREADS: usize = 16;

#[test]
fn the_kit_holds_but_for_order() {
    let all = checks::all();
    let left_out: Vec<_> = OF_ONE_PART.iter().chain(&OF_ONE_LEASE).collect();
    assert!(left_out.iter().all(|name| all.iter().any(|check| check.name == **name)), "a check has moved");
    let rest = all.into_iter().filter(|check| !left_out.contains(&&check.name));
    let rest: Mutex<Vec<Check>> = Mutex::new(rest.collect());
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(check) = rest.lock().expect("nobody panics with it").pop() else { return };
            let run = || {
                job_conformance::run(async {
                    (check.run)(&Harness::real_time(connect(&url()).await).with_wake_ups()).await;
                });
            };
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                failed.lock().expect("nobody panics with it").push(check);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    assert!(failed.lock().expect("nobody panics with it").is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_is_used_and_drained() {
    let url = url();
    let backend = connect(&url).await;
    let new = jobs(1_000);
    for batch in new.chunks(250) {
        backend.enqueue(batch).await.expect("enqueue works");
    }
    let mut store = Store::over(&[server().url()], prefix_of(&url));
    let parts = store.keys().into_iter().filter(|(key, _)| key.ends_with("}j")).count();
    assert_eq!(parts, 4);
    store.assert_sound();
    // No part has to wait until others are empty: the first of many small claims come from all of them.
    let mut seen: BTreeMap<i64, Vec<JobId>> = BTreeMap::new();
    for _ in 0..60 {
        for claimed in claim_for(&backend, 3, LONG).await.expect("claim works") {
            seen.entry(claimed.hold.locator[1]).or_default().push(claimed.hold.job);
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    let order: BTreeMap<JobId, usize> = new.iter().map(|j| j.id).zip(0..).collect();
    for ids in seen.values() {
        assert!(ids.is_sorted_by_key(|id| order[id]), "in order within a part");
    }
    let claimed: usize = seen.values().map(Vec::len).sum();
    assert_eq!(claimed, 180, "a claim gets all that it may");
    assert_eq!(drain(&backend, &QUEUE).await.len(), 1_000 - claimed);
    store.assert_sound();
}

/// A batch that is repeated, and verdicts of every part in one batch, are answered in their places.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_all_parts_come_in_the_order_of_the_batch() {
    let url = url();
    let backend = connect(&url).await;
    let mut new: Vec<NewJob> =
        (0..64_u8).map(|n| NewJob::new(KIND, QUEUE.clone(), vec![n; usize::from(n)])).collect();
    new.push(new[5].clone());
    let answers = backend.enqueue(&new).await.expect("enqueue works");
    assert!(answers.iter().zip(&new).all(|(answer, job)| answer.id == job.id && !answer.deduplicated));
    assert_eq!(backend.enqueue(&new).await.expect("enqueue works"), answers);
    let held = claim_for(&backend, 100, LONG).await.expect("claim works");
    assert_eq!(held.len(), 64, "each once");
    for claimed in &held {
        let job = new.iter().find(|job| job.id == claimed.hold.job).expect("it was enqueued");
        assert_eq!(claimed.payload, job.payload);
    }
    let settlement = |(n, claimed): (usize, &job_core::ClaimedJob)| {
        let mut hold = claimed.hold;
        if n % 3 == 2 {
            hold.lease = job_core::LeaseId::random();
        }
        Settlement::new(hold, if n % 3 == 1 { Verdict::Release } else { Verdict::Complete })
    };
    let settlements: Vec<_> = held.iter().enumerate().map(settlement).collect();
    let expected = |first: bool| -> Vec<_> {
        let known = if first { Settled::Applied } else { Settled::AlreadyApplied };
        (0..64).map(|n| if n % 3 == 2 { Settled::Stale } else { known }).collect()
    };
    for first in [true, false] {
        assert_eq!(backend.settle(&QUEUE, &settlements).await.expect("settle works"), expected(first));
    }
    Store::over(&[server().url()], prefix_of(&url)).assert_sound();
    assert_eq!(backend.enqueue(&new).await.expect("enqueue works"), answers);
    assert_eq!(backend.stats(&QUEUE).await.expect("stats works").ready, 21, "nothing came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_through_all_parts() {
    let backend = connect(&url()).await;
    let new = jobs(30);
    backend.enqueue(&new).await.expect("enqueue works");
    let mut filter = ListFilter { limit: 4, ..ListFilter::new(QUEUE.clone(), JobState::Ready) };
    let mut seen = Vec::new();
    loop {
        let page = backend.list(&filter).await.expect("list works");
        assert!(page.jobs.len() <= 4);
        seen.extend(page.jobs.iter().map(|record| record.id));
        let Some(next) = page.next else { break };
        filter.after = Some(next);
    }
    assert_eq!(seen.len(), 30, "each once");
    assert_eq!(BTreeSet::from_iter(seen), new.iter().map(|job| job.id).collect());
}

/// Whoever says fewer parts than there are is told how many there are; one who says more widens the queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_as_many_parts_as_anybody_said() {
    let wide = url();
    let narrow = wide.replace("shards=4", "shards=2");
    let first = connect(&narrow).await;
    enqueue_one(&first).await.expect("enqueue works");
    let second = connect(&wide).await;
    second.enqueue(&jobs(40)).await.expect("enqueue works");
    let third = connect(&narrow).await;
    assert_eq!(drain(&third, &QUEUE).await.len(), 41, "the third sees all four parts");
    // The first was there before them, and still knows what it enqueued.
    let new = job();
    first.enqueue(std::slice::from_ref(&new)).await.expect("enqueue works");
    first.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(drain(&third, &QUEUE).await, [new.id]);
}
