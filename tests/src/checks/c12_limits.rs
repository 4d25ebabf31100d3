//! C12: limits that all processes share.

use crate::{Harness, KIND, LONG, OTHER_KIND, QUEUE, job, jobs, report};
use job_core::{
    ClaimedJob, Declared, Hold, Kind, KindLimits, LeaseId, Limit, LimitName, LimitRule, NewJob, QueueName,
    Settlement, Verdict,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A store may put what it has looked at behind it, and does so a few times in such a time.
const LASTING: Duration = Duration::from_secs(3);
pub(super) const ELSEWHERE: QueueName = QueueName::from_static("conformance-2");

pub(super) fn name(name: &str) -> LimitName {
    LimitName::new(name).expect("a valid name")
}

pub(super) fn rule(limit: &Limit) -> LimitRule {
    limit.rule().expect("a valid limit")
}

pub(super) fn under(kind: Kind, limits: &[&str]) -> KindLimits {
    KindLimits { limits: limits.iter().map(|n| name(n)).collect(), ..KindLimits::none(kind) }
}

/// Declares limits, and that jobs of [`KIND`] are under all of them.
async fn declare_in(h: &Harness, queue: &QueueName, limits: &[(&str, Limit)]) {
    let declared = Declared {
        limits: limits.iter().map(|(n, limit)| (name(n), Some(rule(limit)))).collect(),
        kinds: vec![
            under(KIND, &limits.iter().map(|(n, _)| *n).collect::<Vec<_>>()),
            KindLimits::none(OTHER_KIND),
        ],
    };
    h.backend.declare(queue, &declared).await.expect("declare works");
}

pub(super) async fn declare(h: &Harness, limits: &[(&str, Limit)]) {
    declare_in(h, &QUEUE, limits).await;
}

pub(super) fn others(n: usize) -> Vec<NewJob> {
    let mut jobs = jobs(n);
    jobs.iter_mut().for_each(|job| job.kind = OTHER_KIND);
    jobs
}

pub(super) fn in_other_queue(n: usize) -> Vec<NewJob> {
    let mut jobs = jobs(n);
    jobs.iter_mut().for_each(|job| job.queue = ELSEWHERE);
    jobs
}

pub(super) fn count(jobs: &[ClaimedJob], kind: &Kind) -> usize {
    jobs.iter().filter(|j| j.kind == *kind).count()
}

pub(super) async fn complete(h: &Harness, jobs: &[ClaimedJob]) {
    for job in jobs {
        h.apply(job.hold, Verdict::Complete).await;
    }
}

/// No more jobs are claimed than a limit allows, and each that is settled makes room for one.
pub async fn no_more_are_claimed_than_allowed(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(3))]).await;
    h.enqueue(&jobs(10)).await;
    let held = h.take(10).jobs().await;
    assert_eq!(held.len(), 3);
    let claim = h.take(10).claim().await;
    assert!(claim.jobs.is_empty(), "{claim:?}");
    assert!(claim.retry_in.is_some(), "jobs were left because of a limit");
    complete(h, &held[..1]).await;
    assert_eq!(h.take(10).jobs().await.len(), 1);
    complete(h, &held[1..]).await;
    assert_eq!(h.take(1).jobs().await.len(), 1, "no more than asked for");
    assert_eq!(h.take(10).jobs().await.len(), 1);
    assert_eq!(h.stats().await.ready, 4, "the others wait where they were");
}

/// What ends a lease frees its slots: every verdict, in a call with a claim and without.
pub async fn every_verdict_frees_a_slot(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    let verdicts = [
        Verdict::Complete,
        Verdict::Retry { after: LONG, error: report("e") },
        Verdict::Snooze { delay: LONG },
        Verdict::Release,
        Verdict::Dead { reason: job_core::DeadReason::Permanent, error: report("e") },
    ];
    h.enqueue(&jobs(2 * verdicts.len() + 1)).await;
    let mut held = h.take(9).jobs().await;
    for verdict in verdicts {
        assert_eq!(held.len(), 1);
        h.apply(held[0].hold, verdict.clone()).await;
        held = h.take(9).jobs().await;
        assert_eq!(held.len(), 1, "after {verdict:?}");
        let (_, next) = h.take(9).settling(&[Settlement::new(held[0].hold, verdict.clone())]).await;
        held = next;
    }
    assert_eq!(held.len(), 1);
}

/// A slot belongs to a lease: a process that dies gives it back, whoever notices. A suspect needs one as well.
pub async fn a_crash_frees_its_slots(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.enqueue(&jobs(5)).await;
    assert_eq!(h.crash(h.take(5)).await, 2);
    let fresh = h
        .until("slots of the dead", || async { Some(h.take(5).jobs().await).filter(|j| !j.is_empty()) })
        .await;
    assert_eq!(fresh.len(), 2, "both slots are free again");
    assert!(h.take(5).suspects(2).solo().jobs().await.is_empty(), "suspects are under the limit as well");
    complete(h, &fresh).await;
    let suspects = h.take(0).suspects(5).jobs().await;
    assert_eq!(suspects.len(), 2);
    assert!(h.take(5).jobs().await.is_empty(), "and they take slots");
}

/// However long a job runs, and however much is claimed meanwhile, its slot is taken.
pub async fn a_slot_is_held_as_long_as_its_lease(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.enqueue_one(&job()).await;
    let first = h.take(5).lease_for(LONG).jobs().await;
    let until = Instant::now() + LASTING;
    while Instant::now() < until {
        h.enqueue(&others(2)).await;
        let got = h.take(5).jobs().await;
        assert_eq!((count(&got, &KIND), count(&got, &OTHER_KIND)), (0, 2));
        complete(h, &got).await;
        h.pass(LASTING / 20).await;
    }
    h.enqueue(&jobs(3)).await;
    assert_eq!(h.take(5).jobs().await.len(), 1, "one of two slots is taken");
    complete(h, &first).await;
    assert_eq!(h.take(5).jobs().await.len(), 1);
}

/// What is repeated counts once: a claim with its lease, a verdict.
pub async fn repeated_calls_count_once(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.enqueue(&jobs(6)).await;
    let claim = h.take(1);
    let held = claim.jobs().await;
    assert_eq!(claim.jobs().await, held);
    assert_eq!(h.take(5).jobs().await.len(), 1);
    complete(h, &held).await;
    h.settle(held[0].hold, Verdict::Complete).await;
    h.settle(held[0].hold, Verdict::Release).await;
    let again = h.take(5).jobs().await;
    assert_eq!(again.len(), 1, "one slot, however often it was said");
    let forged = Hold { lease: LeaseId::random(), ..again[0].hold };
    h.settle(forged, Verdict::Complete).await;
    assert!(h.take(5).jobs().await.is_empty(), "a stale verdict frees nothing");
}

/// Jobs that wait for a limit hold up no others, in whatever order they came.
pub async fn others_are_not_held_up(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.enqueue(&jobs(50)).await;
    h.enqueue(&others(20)).await;
    let got = h.take(10).jobs().await;
    assert_eq!((count(&got, &KIND), count(&got, &OTHER_KIND)), (2, 8));
    let got = h.take(20).jobs().await;
    assert_eq!((count(&got, &KIND), count(&got, &OTHER_KIND)), (0, 12));
}

/// Kinds and queues that are under one limit share it.
pub async fn kinds_and_queues_share_a_limit(h: &Harness) {
    let kinds = || vec![under(KIND, &["stripe"]), under(OTHER_KIND, &["stripe"])];
    let limits = vec![(name("stripe"), Some(rule(&Limit::concurrency(4))))];
    let declared = Declared { limits, kinds: kinds() };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    h.backend.declare(&ELSEWHERE, &declared).await.expect("declare works");
    h.enqueue(&jobs(3)).await;
    h.enqueue(&others(3)).await;
    let elsewhere = in_other_queue(3);
    h.enqueue(&elsewhere).await;
    let there = h.take(2).queue(&ELSEWHERE).jobs().await;
    assert_eq!(there.len(), 2);
    let here = h.take(9).jobs().await;
    assert_eq!(here.len(), 2, "what the other queue has left");
    assert!(h.take(9).queue(&ELSEWHERE).jobs().await.is_empty());
    let done: Vec<_> = there.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
    h.backend.settle(&ELSEWHERE, &done).await.expect("settle works");
    assert_eq!(h.take(9).jobs().await.len(), 2);
}

/// A job under several limits needs room under each.
pub async fn every_limit_of_a_kind_counts(h: &Harness) {
    declare(h, &[("wide", Limit::concurrency(5)), ("narrow", Limit::concurrency(2))]).await;
    h.backend
        .set_limit(&LimitName::of_queue(&QUEUE), Some(rule(&Limit::concurrency(4))))
        .await
        .expect("works");
    h.backend
        .set_limit(&LimitName::of_kind(&OTHER_KIND), Some(rule(&Limit::concurrency(1))))
        .await
        .expect("works");
    h.until("the limits that were set", || async {
        let known = h.backend.limits().await.expect("limits work");
        (known.len() == 4).then_some(())
    })
    .await;
    h.pass(h.units(21)).await;
    h.enqueue(&jobs(9)).await;
    h.enqueue(&others(9)).await;
    let held = h.take(9).jobs().await;
    assert_eq!(
        (count(&held, &KIND), count(&held, &OTHER_KIND)),
        (2, 1),
        "the narrow one, and that of the kind"
    );
    h.backend
        .set_limit(&LimitName::of_queue(&QUEUE), Some(rule(&Limit::concurrency(3))))
        .await
        .expect("works");
    h.backend.set_limit(&LimitName::of_kind(&OTHER_KIND), None).await.expect("works");
    h.pass(h.units(21)).await;
    assert!(h.take(9).jobs().await.is_empty(), "the queue as a whole is full");
    complete(h, &held[..1]).await;
    assert_eq!(h.take(9).jobs().await.len(), 1);
}

/// A rate lets a burst through and then one job at a time, by the store's clock.
pub async fn a_rate_lets_a_burst_through_and_then_its_pace(h: &Harness) {
    let per = h.units(10);
    declare(h, &[("stripe", Limit::per(format!("1/{}ms", per.as_millis())).burst(3))]).await;
    h.enqueue(&jobs(20)).await;
    let started = tokio::time::Instant::now();
    let first = h.take(20).jobs().await.len();
    assert_eq!(first, 3, "the burst");
    let claim = h.take(20).claim().await;
    let mut got = first + claim.jobs.len();
    let wait = claim.retry_in.expect("jobs were left because of a limit");
    assert!(wait <= per, "{wait:?} until the next token");
    h.pass(wait + h.unit() / 10).await;
    got +=
        h.until("the next token", || async { Some(h.take(20).jobs().await.len()).filter(|n| *n > 0) }).await;
    h.pass(per * 2).await;
    got += h.take(20).jobs().await.len();
    let elapsed = started.elapsed() + h.unit();
    let most = 3 + elapsed.as_millis().div_ceil(per.as_millis()) as usize;
    assert!((5..=most).contains(&got), "{got} jobs in {elapsed:?}, at most {most}");
    h.pass(per * 4).await;
    assert_eq!(h.take(20).jobs().await.len(), 3, "unused tokens are kept up to the burst");
}

/// What a settled or released job used of a rate does not come back.
pub async fn a_rate_counts_starts(h: &Harness) {
    declare(h, &[("stripe", Limit::per("2/h").burst(2))]).await;
    h.enqueue(&jobs(5)).await;
    let held = h.take(1).jobs().await;
    h.apply(held[0].hold, Verdict::Release).await;
    let held = h.take(5).jobs().await;
    assert_eq!(held.len(), 1);
    complete(h, &held).await;
    assert!(h.take(5).jobs().await.is_empty());
}

/// A limit that somebody closes lets nothing through until its time is over, or somebody opens it.
pub async fn a_closed_limit_lets_nothing_through(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(100))]).await;
    h.enqueue(&jobs(3)).await;
    h.enqueue(&others(1)).await;
    h.backend.close_limit(&name("stripe"), h.units(40)).await.expect("close works");
    h.backend.close_limit(&name("stripe"), h.units(1)).await.expect("close works");
    h.until("the limit to be closed", || async {
        let limits = h.backend.limits().await.expect("limits work");
        limits.iter().any(|l| l.closed_for.is_some()).then_some(())
    })
    .await;
    h.pass(h.units(21)).await;
    let claim = h.take(9).claim().await;
    assert_eq!((count(&claim.jobs, &KIND), count(&claim.jobs, &OTHER_KIND)), (0, 1));
    let wait = claim.retry_in.expect("jobs were left because of a limit");
    assert!(wait <= h.units(40), "{wait:?}");
    h.pass(h.units(20)).await;
    h.until("the limit to open", || async { Some(h.take(1).jobs().await).filter(|j| j.len() == 1) }).await;
    h.backend.close_limit(&name("stripe"), LONG).await.expect("close works");
    h.pass(h.units(21)).await;
    assert!(h.take(1).jobs().await.is_empty());
    h.backend.open_limit(&name("stripe")).await.expect("open works");
    h.until("the limit to open", || async { Some(h.take(1).jobs().await).filter(|j| j.len() == 1) }).await;
}

/// An operator's limit counts in place of the declared one until it is taken back.
pub async fn an_operator_has_the_last_word(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    h.enqueue(&jobs(9)).await;
    let set = rule(&Limit::concurrency(3));
    h.backend.set_limit(&name("stripe"), Some(set)).await.expect("set works");
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    h.pass(h.units(21)).await;
    assert_eq!(h.take(9).jobs().await.len(), 3);
    let known = h.backend.limits().await.expect("limits work");
    let known = known.iter().find(|l| l.name == name("stripe")).expect("it is known");
    assert_eq!((known.declared, known.set, known.in_use), (Some(rule(&Limit::concurrency(1))), Some(set), 3));
    assert_eq!(known.rule(), set);
    h.backend.set_limit(&name("stripe"), None).await.expect("set works");
    h.pass(h.units(21)).await;
    assert!(h.take(9).jobs().await.is_empty(), "three are out, one is allowed");
}

/// What is declared anew replaces what was declared before.
pub async fn a_declaration_replaces_the_last_one(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    h.enqueue(&jobs(9)).await;
    assert_eq!(h.take(9).jobs().await.len(), 1);
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.pass(h.units(21)).await;
    assert_eq!(h.take(9).jobs().await.len(), 1);
    let free = Declared { limits: vec![], kinds: vec![KindLimits::none(KIND)] };
    h.backend.declare(&QUEUE, &free).await.expect("declare works");
    h.pass(h.units(21)).await;
    assert_eq!(h.take(1).jobs().await.len(), 1, "the kind is under no limit any more");
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    let gone = Declared { limits: vec![(name("stripe"), None)], kinds: vec![] };
    h.backend.declare(&QUEUE, &gone).await.expect("declare works");
    h.pass(h.units(21)).await;
    assert_eq!(h.take(9).jobs().await.len(), 6, "the limit is no more");
}

/// Many workers that claim and settle at once never hold more than a limit allows, and nothing is left over.
pub async fn many_at_once_never_hold_too_many(h: &Harness) {
    const MOST: usize = 5;
    declare(h, &[("stripe", Limit::concurrency(u32::try_from(MOST).expect("small")))]).await;
    h.enqueue(&jobs(200)).await;
    let (held, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (held, done) = (Arc::clone(&held), Arc::clone(&done));
        move |backend: Arc<dyn job_core::Operate>, worker: usize| {
            let (held, done) = (Arc::clone(&held), Arc::clone(&done));
            async move {
                let mut seen = HashSet::new();
                let mut most = 0;
                while done.load(Ordering::SeqCst) < 200 {
                    let request = job_core::ClaimRequest {
                        lease: LeaseId::random(),
                        worker: job_core::WorkerId::random(),
                        kinds: &[KIND],
                        limit: 3,
                        lease_for: LONG,
                        suspect_leases: &[],
                        solo: false,
                        ahead: &[1][worker % 2..],
                    };
                    let claim = backend.claim(&QUEUE, &request).await.expect("claim works");
                    let slots = claim.ahead.as_ref().map_or(claim.jobs.len(), |ahead| ahead.slots as usize);
                    most = most.max(held.fetch_add(slots, Ordering::SeqCst) + slots);
                    tokio::task::yield_now().await;
                    seen.extend(claim.jobs.iter().map(|j| j.hold.job));
                    let verdicts: Vec<_> =
                        claim.jobs.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
                    held.fetch_sub(slots, Ordering::SeqCst);
                    if !verdicts.is_empty() {
                        let settled = backend.settle(&QUEUE, &verdicts).await.expect("settle works");
                        done.fetch_add(settled.len(), Ordering::SeqCst);
                    }
                }
                (most, seen.len())
            }
        }
    };
    let answers = tokio::time::timeout(Duration::from_secs(60), h.on_threads(4, work)).await;
    let answers = answers.expect("the limit lets all jobs through in the end");
    assert!(answers.iter().all(|(most, _)| *most <= MOST), "{answers:?}");
    assert_eq!(answers.iter().map(|(_, seen)| seen).sum::<usize>(), 200);
    h.until("no slot to be left over", || async {
        let limits = h.backend.limits().await.expect("limits work");
        limits.iter().all(|l| l.in_use == 0).then_some(())
    })
    .await;
}

/// What nobody has limited is not limited, and a kind's alias in another queue neither.
pub async fn what_is_not_limited_is_free(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(1))]).await;
    let elsewhere = in_other_queue(5);
    h.enqueue(&elsewhere).await;
    let claim = h.take(5).queue(&ELSEWHERE).claim().await;
    assert_eq!((claim.jobs.len(), claim.retry_in), (5, None), "nothing was declared for that queue");
    h.enqueue_one(&job()).await;
    assert_eq!(h.take(5).jobs().await.len(), 1);
}
