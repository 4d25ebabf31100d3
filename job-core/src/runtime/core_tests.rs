//! The decision core as a simulation: no actors, no store, no real time.

use super::*;
use crate::backend::{Extended, Hold, LeaseStatus, Suspicion};
use crate::verdict::Verdict;
use crate::{JobId, Kind, Priority};
use bytes::Bytes;
use jiff::Timestamp;

#[path = "core_ahead_tests.rs"]
mod ahead;
#[path = "core_end_tests.rs"]
mod end;

const LEASE: Duration = Duration::from_secs(10);

fn core(concurrency: usize) -> QueueCore {
    let config = CoreConfig {
        concurrency,
        prefetch_max: 100,
        batch_max: 1_000,
        lease_for: LEASE,
        poll_min: Duration::from_millis(10),
        poll_max: Duration::from_millis(500),
        closings: Arc::default(),
    };
    QueueCore::new(config, Instant::now())
}

fn job(lease: LeaseId) -> ClaimedJob {
    ClaimedJob {
        hold: Hold { job: JobId::new(), lease, claims: 1, locator: [0; 3] },
        kind: Kind::from_static("k"),
        priority: Priority::NORMAL,
        attempt: 1,
        max_attempts: 3,
        suspicion: Suspicion::None,
        payload: Bytes::new(),
        version: 1,
        headers: crate::Headers::new(),
        idempotency_key: None,
        enqueued_at: Timestamp::UNIX_EPOCH,
    }
}

fn claim(core: &mut QueueCore, now: Instant, n: usize) -> Vec<Start> {
    let plan = core.plan_claim(now, true).expect("a claim is due");
    let answers = vec![Settled::Applied; plan.settlements.len()];
    let jobs = (0..n.min(plan.limit as usize)).map(|_| job(plan.lease)).collect();
    core.claim_done(now, &answers, Claim::new(jobs))
}

fn complete(start: &Start) -> Settlement {
    Settlement::new(start.job.hold, Verdict::Complete)
}

#[test]
fn never_more_than_the_concurrency_runs() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 100);
    assert_eq!(starts.len(), 4);
    assert!(core.plan_claim(now, true).is_none(), "no slot is free");
    let (next, nudge) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert!(next.is_none(), "nothing was claimed ahead");
    assert_eq!(nudge, Nudge::Claimer, "the last claim was full, so there may be more");
}

#[test]
fn a_claim_asks_for_what_is_free() {
    let now = Instant::now();
    let mut core = core(4);
    core.prefetch = 4;
    let starts = claim(&mut core, now, 6);
    assert_eq!(starts.len(), 4, "two wait");
    let wanted = |core: &mut QueueCore| {
        let plan = core.plan_claim(now, true).expect("due");
        core.claim_done(now, &[], Claim::default());
        plan.limit
    };
    assert_eq!(wanted(&mut core), 2, "eight at most");
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    core.plan_settle(false).expect("one verdict");
    assert_eq!(wanted(&mut core), 2, "it is not settled yet");
    core.settle_done(&[Settled::Applied]);
    assert_eq!(wanted(&mut core), 3);
}

#[test]
fn nothing_is_claimed_while_more_than_half_of_what_was_claimed_ahead_waits() {
    let now = Instant::now();
    let mut core = core(4);
    core.prefetch = 4;
    let starts = claim(&mut core, now, 7);
    assert!(core.plan_claim(now, true).is_none(), "three of four wait");
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert!(core.plan_claim(now, true).is_some());
}

#[test]
fn a_claim_carries_the_verdicts() {
    let now = Instant::now();
    let mut core = core(2);
    let starts = claim(&mut core, now, 2);
    for start in &starts {
        core.job_ended(now, start.slot, complete(start));
    }
    let plan = core.plan_claim(now, false).expect("hungry");
    assert_eq!(plan.settlements.len(), 2);
    assert_eq!(plan.limit, 2, "verdicts that travel along free their slots");
}

#[test]
fn verdicts_of_a_failed_call_are_sent_again_and_the_claim_repeated() {
    let now = Instant::now();
    let mut core = core(2);
    let starts = claim(&mut core, now, 2);
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    let lost = core.plan_claim(now, false).expect("hungry");
    core.claim_failed(true);
    assert_eq!(core.nudge(), Nudge::Settler, "verdicts do not wait for the claim's timer");
    assert!(core.plan_claim(now, false).is_none(), "only the timer tries again");
    core.job_ended(now, starts[1].slot, complete(&starts[1]));
    let again = core.plan_claim(now, true).expect("the timer");
    assert_eq!(again.lease, lost.lease, "the outcome was unknown");
    assert_eq!((again.settlements.len(), &again.settlements[..1]), (2, &lost.settlements[..]));
    core.claim_failed(true);
    let late = core.plan_claim(now + LEASE / 2, true).expect("the timer");
    assert_ne!(late.lease, lost.lease, "too late to run what that claim may have got");
}

#[test]
fn a_claim_that_never_happened_is_made_anew() {
    let now = Instant::now();
    let mut core = core(2);
    let failed = core.plan_claim(now, true).expect("due");
    core.claim_failed(false);
    assert_ne!(core.plan_claim(now, true).expect("the timer").lease, failed.lease);
}

#[test]
fn a_lost_lease_stops_its_jobs_and_drops_their_verdicts() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 2);
    let lease = starts[0].job.hold.lease;
    let stale = Extended { leases: vec![LeaseStatus::Stale], cancel: Vec::new() };
    core.extended(now, &[lease], &stale);
    assert!(starts.iter().all(|s| s.stop.is_cancelled()));
    for start in &starts {
        core.job_ended(now, start.slot, complete(start));
    }
    assert!(core.plan_settle(false).is_none());
    assert_eq!(core.unsettled(), 0);
}

#[test]
fn a_job_whose_lease_was_only_given_up_here_goes_back() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 2);
    core.fence(now + LEASE);
    let [stopped, stubborn] = &starts[..] else { panic!("two") };
    let release = Settlement::new(stopped.job.hold, Verdict::Release);
    core.job_ended(now + LEASE, stopped.slot, release.clone());
    // The other one keeps the lease, which the store still has.
    let held = Extended { leases: vec![LeaseStatus::Held], cancel: Vec::new() };
    core.extended(now + LEASE, &[stubborn.job.hold.lease], &held);
    assert_eq!(*core.plan_settle(false).expect("one"), [release]);
}

#[test]
fn a_job_that_was_claimed_slowly_waits_for_the_extension() {
    let now = Instant::now();
    let mut core = core(4);
    let plan = core.plan_claim(now, true).expect("a claim is due");
    let late = now + LEASE * 7 / 10;
    let jobs = vec![job(plan.lease), job(plan.lease)];
    assert!(core.claim_done(late, &[], Claim::new(jobs)).is_empty());
    assert!(core.start_all(late).is_empty());
    let held = Extended { leases: vec![LeaseStatus::Held], cancel: Vec::new() };
    core.extended(late, &[plan.lease], &held);
    assert_eq!(core.start_all(late).len(), 2);
}

#[test]
fn a_job_that_was_claimed_too_slowly_goes_back() {
    let now = Instant::now();
    let mut core = core(4);
    let plan = core.plan_claim(now, true).expect("a claim is due");
    let late = now + LEASE * 9 / 10;
    assert!(core.claim_done(late, &[], Claim::new(vec![job(plan.lease)])).is_empty());
    let back = core.plan_settle(false).expect("one");
    assert!(matches!(back[..], [Settlement { verdict: Verdict::Release, .. }]));
}

#[test]
fn fencing_comes_before_the_lease_ends_unless_extended() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 1);
    let lease = starts[0].job.hold.lease;
    let held = Extended { leases: vec![LeaseStatus::Held], cancel: Vec::new() };
    core.extended(now + LEASE / 2, &[lease], &held);
    core.fence(now + LEASE);
    assert!(!starts[0].stop.is_cancelled(), "extended to 1.5 leases");
    core.fence(now + LEASE * 14 / 10);
    assert!(starts[0].stop.is_cancelled());
}

#[test]
fn a_lease_is_counted_from_before_it_was_asked_for() {
    let sent = Instant::now();
    let mut core = core(4);
    let plan = core.plan_claim(sent, true).expect("due");
    let starts = core.claim_done(sent + LEASE * 3 / 10, &[], Claim::new(vec![job(plan.lease)]));
    core.fence(sent + LEASE * 9 / 10);
    assert!(starts[0].stop.is_cancelled(), "the answer was slow, and the store's clock went on");
}

#[test]
fn fencing_leaves_time_before_the_store_ends_the_lease() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 1);
    assert_eq!(core.fence(now), Some(now + LEASE * 8 / 10), "when to look again");
    core.fence(now + LEASE * 79 / 100);
    assert!(!starts[0].stop.is_cancelled());
    assert_eq!(core.fence(now + LEASE * 8 / 10), None, "nothing is left to look at");
    assert!(starts[0].stop.is_cancelled());
}

#[test]
fn nothing_starts_under_a_lease_that_is_about_to_end() {
    let sent = Instant::now();
    let mut core = core(4);
    let plan = core.plan_claim(sent, true).expect("due");
    let starts = core.claim_done(sent + LEASE * 8 / 10, &[], Claim::new(vec![job(plan.lease)]));
    assert!(starts.is_empty());
    let back = core.plan_settle(false).expect("it goes back");
    assert!(matches!(back[..], [Settlement { verdict: Verdict::Release, .. }]));
}

#[test]
fn what_was_claimed_ahead_and_cancelled_never_starts() {
    let now = Instant::now();
    let mut core = core(1);
    core.prefetch = 10;
    let starts = claim(&mut core, now, 3);
    let lease = starts[0].job.hold.lease;
    let cancelled = core.backlog[0].hold.job;
    let asked = Extended { leases: vec![LeaseStatus::Held], cancel: vec![cancelled] };
    core.extended(now, &[lease], &asked);
    let (next, _) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert_ne!(next.expect("the third").job.hold.job, cancelled);
    let sent = core.plan_settle(false).expect("two verdicts");
    let verdict = sent.iter().find(|s| s.hold.job == cancelled).map(|s| &s.verdict);
    assert_eq!(verdict, Some(&Verdict::Cancel));
}

#[test]
fn a_restarted_claimer_forgets_nothing() {
    let now = Instant::now();
    let mut core = core(2);
    let starts = claim(&mut core, now, 2);
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    let plan = core.plan_claim(now, false).expect("hungry");
    core.claimer_restarted();
    let again = core.plan_claim(now, false).expect("looks at once");
    assert_eq!(again.lease, plan.lease);
    assert_eq!(again.settlements.len(), 1);
}

#[test]
fn prefetch_follows_the_rate_and_shrinks_at_once() {
    let start = Instant::now();
    let mut core = core(10);
    let mut now = start;
    for _ in 0..10 {
        let starts = claim(&mut core, now, 10);
        now += Duration::from_millis(10);
        for s in &starts {
            let mut next = core.job_ended(now, s.slot, complete(s)).0;
            while let Some(s) = next {
                next = core.job_ended(now, s.slot, complete(&s)).0;
            }
        }
    }
    assert!(core.prefetch >= 50, "1,000 jobs/s are 100 in 100 ms: {}", core.prefetch);
    now += Duration::from_secs(60);
    claim(&mut core, now, 10);
    assert!(core.prefetch <= 1, "10 jobs a minute: {}", core.prefetch);
}

#[test]
fn what_is_claimed_ahead_ends_within_a_tenth_of_a_second() {
    let mut now = Instant::now();
    let mut core = core(10);
    for _ in 0..20 {
        let starts = claim(&mut core, now, 10);
        now += Duration::from_millis(100);
        for start in &starts {
            core.job_ended(now, start.slot, complete(start));
        }
    }
    assert!((8..=10).contains(&core.prefetch), "10 jobs in 100 ms: {}", core.prefetch);
}

#[test]
fn polls_back_off_to_the_maximum_and_a_wake_resets_them() {
    let now = Instant::now();
    let mut core = core(1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        claim(&mut core, now, 0);
        waits.push(core.next_poll().as_millis());
    }
    assert_eq!(waits, [20, 40, 80, 160, 320, 500, 500, 500]);
    assert_eq!(core.wake(), Nudge::Claimer);
    assert_eq!(core.wake(), Nudge::Nobody, "told once");
}

#[test]
fn an_actor_that_does_not_look_is_told_once() {
    let now = Instant::now();
    let told = |nudges: &[Nudge]| nudges.iter().filter(|n| **n != Nudge::Nobody).count();
    let many = 100_000;
    let mut core = core(many);
    let nudges: Vec<_> = (0..many).map(|_| core.wake()).collect();
    assert_eq!(told(&nudges), 1, "the claimer does not look");
    let mut starts = Vec::new();
    while starts.len() < many {
        starts.extend(claim(&mut core, now, 1_000));
    }
    core.hungry = false;
    let (early, late) = starts.split_at(many / 2);
    let nudges: Vec<_> = early.iter().map(|s| core.job_ended(now, s.slot, complete(s)).1).collect();
    assert_eq!(told(&nudges), 1, "the settler does not look");
    core.plan_claim(now, true).expect("a claim carries the verdicts");
    let nudges: Vec<_> =
        late.iter().flat_map(|s| [core.job_ended(now, s.slot, complete(s)).1, core.wake()]).collect();
    assert_eq!(told(&nudges), 0, "the claimer hangs in its call");
}

#[test]
fn suspects_run_one_at_a_time_at_first() {
    let now = Instant::now();
    let mut core = core(8);
    assert_eq!(claim(&mut core, now, 2).len(), 2);
    let plan = core.plan_claim(now, true).expect("due");
    assert_eq!((plan.suspect_leases.len(), plan.solo), (1, true), "the others are no suspects");
    let mut suspect = job(plan.suspect_leases[0]);
    suspect.suspicion = Suspicion::Suspect;
    let starts = core.claim_done(now, &[], Claim::new(vec![suspect]));
    let plan = core.plan_claim(now, true).expect("due");
    assert_eq!((plan.suspect_leases.len(), plan.solo), (0, false));
    core.claim_done(now, &[], Claim::default());
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    core.plan_settle(false).expect("settles");
    core.settle_done(&[Settled::Applied]);
    let plan = core.plan_claim(now, true).expect("due");
    assert_eq!(plan.suspect_leases.len(), 2);
}

#[test]
fn a_wake_up_during_a_claim_makes_another_claim() {
    let now = Instant::now();
    let mut core = core(4);
    let plan = core.plan_claim(now, true).expect("a claim is due");
    assert_eq!(core.wake(), Nudge::Nobody, "a claim is under way");
    assert!(core.claim_done(now, &[], Claim::new(Vec::new())).is_empty());
    assert_eq!(core.nudge(), Nudge::Claimer, "what came after {:?} had looked", plan.lease);
    core.plan_claim(now, false).expect("another claim is due");
    core.claim_done(now, &[], Claim::new(Vec::new()));
    assert_eq!(core.nudge(), Nudge::Nobody, "and no more than one");
}
