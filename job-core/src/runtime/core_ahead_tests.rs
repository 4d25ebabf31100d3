//! What is claimed ahead under a limit.

use super::*;
use crate::backend::Ahead;
use std::sync::atomic::Ordering;

const TENTH: Duration = Duration::from_millis(100);
const OTHER: Kind = Kind::from_static("other");

fn kind() -> Kind {
    Kind::from_static("k")
}

fn limited() -> Claim {
    Claim { retry_in: Some(LEASE), ..Claim::default() }
}

/// A claim of so many jobs, of which so many run at a time.
fn claim_ahead(core: &mut QueueCore, now: Instant, n: usize, slots: u32) -> Vec<Start> {
    let plan = core.plan_claim(now, true).expect("a claim is due");
    let jobs = (0..n).map(|_| job(plan.lease)).collect();
    answered(core, now, &plan, jobs, slots)
}

fn answered(
    core: &mut QueueCore,
    now: Instant,
    plan: &ClaimPlan,
    jobs: Vec<ClaimedJob>,
    slots: u32,
) -> Vec<Start> {
    let answers = vec![Settled::Applied; plan.settlements.len()];
    core.claim_done(now, &answers, Claim { jobs, ahead: Some(Ahead { kind: kind(), slots }), ..limited() })
}

fn end(core: &mut QueueCore, now: Instant, start: &Start) -> Option<Start> {
    core.job_ended(now, start.slot, complete(start)).0
}

fn words(core: &mut QueueCore) -> Vec<Verdict> {
    core.plan_settle(true).map_or(Vec::new(), |sent| sent.iter().map(|s| s.verdict.clone()).collect())
}

#[test]
fn what_is_ahead_starts_when_one_of_its_lease_ends() {
    let now = Instant::now();
    let mut core = core(10);
    let mut running: VecDeque<_> = claim_ahead(&mut core, now, 5, 2).into();
    assert_eq!(running.len(), 2);
    for left in (0..3).rev() {
        let ended = running.pop_front().expect("one runs");
        running.push_back(end(&mut core, now, &ended).expect("the next has its slot"));
        assert_eq!((core.running(), core.waiting()), (2, left));
    }
    for ended in running {
        assert!(end(&mut core, now, &ended).is_none());
    }
    assert_eq!(words(&mut core).len(), 5);
}

#[test]
fn other_jobs_of_the_lease_do_not_wait() {
    let now = Instant::now();
    let mut core = core(10);
    let plan = core.plan_claim(now, true).expect("a claim is due");
    let other = || ClaimedJob { kind: OTHER, ..job(plan.lease) };
    let jobs = vec![job(plan.lease), job(plan.lease), other(), other()];
    let starts = answered(&mut core, now, &plan, jobs, 1);
    assert_eq!((starts.len(), core.waiting()), (3, 1));
    let other = starts.iter().find(|s| s.job.kind == OTHER).expect("it runs");
    assert!(end(&mut core, now, other).is_none(), "it had no slot to give");
    assert_eq!(core.waiting(), 1);
}

#[test]
fn a_slot_that_was_passed_on_is_no_reason_to_claim() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 3, 2);
    let (next, nudge) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert!(next.is_some());
    assert_eq!(nudge, Nudge::Settler);
    core.plan_settle(false).expect("a verdict");
    core.settle_done(&[Settled::Applied]);
    assert_eq!(core.nudge(), Nudge::Nobody);
    let (next, nudge) = core.job_ended(now, starts[1].slot, complete(&starts[1]));
    assert!(next.is_none());
    assert_eq!(nudge, Nudge::Claimer, "its slot is free");
}

/// The claim under way may not have seen the slot that a verdict frees, whichever of them is answered first.
#[test]
fn a_verdict_that_frees_a_slot_without_a_claim_is_followed_by_one() {
    let now = Instant::now();
    for settled_first in [false, true] {
        let mut core = core(10);
        let starts = claim(&mut core, now, 2);
        core.job_ended(now, starts[0].slot, complete(&starts[0]));
        core.plan_settle(false).expect("a verdict");
        core.plan_claim(now, true).expect("a claim is due");
        if settled_first {
            core.settle_done(&[Settled::Applied]);
            core.claim_done(now, &[], limited());
        } else {
            core.claim_done(now, &[], limited());
            assert_eq!(core.nudge(), Nudge::Nobody, "what may make room is still on its way");
            core.settle_done(&[Settled::Applied]);
        }
        assert_eq!(core.nudge(), Nudge::Claimer, "settled first: {settled_first}");
        core.plan_claim(now, false).expect("a claim is due");
        core.claim_done(now, &[], limited());
        assert_eq!(core.nudge(), Nudge::Nobody, "nothing has ended since");
    }
}

#[test]
fn the_slot_of_a_job_that_is_cancelled_before_it_starts_is_free() {
    let now = Instant::now();
    let mut core = core(1);
    let starts = claim_ahead(&mut core, now, 2, 2);
    let lease = starts[0].job.hold.lease;
    let next = core.backlog[0].hold.job;
    core.prefetch = 10;
    core.extended(now, &[lease], &Extended { leases: vec![LeaseStatus::Held], cancel: vec![next] });
    assert_eq!(core.nudge(), Nudge::Claimer);
}

#[test]
fn what_waits_goes_back_when_the_process_stops() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 5, 1);
    assert!(!core.is_quiet());
    core.stop_claiming();
    assert_eq!(words(&mut core), vec![Verdict::Release; 4]);
    core.settle_done(&[Settled::Applied; 4]);
    assert!(end(&mut core, now, &starts[0]).is_none());
    words(&mut core);
    core.settle_done(&[Settled::Applied]);
    assert!(core.is_quiet());
}

#[test]
fn what_waits_for_too_long_goes_back() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 5, 2);
    assert!(core.next_poll() <= TENTH, "somebody has to look");
    end(&mut core, now + TENTH, &starts[0]).expect("the next");
    let plan = core.plan_claim(now + TENTH * 2, true).expect("a claim is due");
    let given_back = plan.settlements.iter().filter(|s| s.verdict == Verdict::Release).count();
    assert_eq!((given_back, core.waiting(), core.running()), (2, 0, 2));
}

/// Jobs that have become slow end often enough where there are many, and are not followed by what was to be through long ago.
#[test]
fn nothing_starts_long_after_it_was_claimed() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 30, 3);
    let mut last = end(&mut core, now + TENTH, &starts[0]).expect("the next");
    last = end(&mut core, now + TENTH * 19 / 10, &last).expect("the next");
    assert!(end(&mut core, now + TENTH * 2, &last).is_none(), "too late");
    assert_eq!((core.waiting(), core.running()), (0, 2));
}

#[test]
fn what_waits_can_be_cancelled() {
    let now = Instant::now();
    let mut core = core(1);
    let starts = claim_ahead(&mut core, now, 4, 2);
    let lease = starts[0].job.hold.lease;
    let next = core.backlog[0].hold.job;
    let waiting: Vec<_> = core.leases[&lease].shared.as_ref().expect("shared").jobs().collect();
    let asked = Extended { leases: vec![LeaseStatus::Held], cancel: vec![next, waiting[1]] };
    core.extended(now, &[lease], &asked);
    assert_eq!(words(&mut core), vec![Verdict::Cancel; 2]);
    let last = end(&mut core, now, &starts[0]).expect("the one that is left");
    assert_eq!(last.job.hold.job, waiting[0]);
    assert_eq!(core.waiting() + core.backlog.len(), 0);
}

#[test]
fn what_waits_is_lost_with_its_lease() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 5, 2);
    let lease = starts[0].job.hold.lease;
    core.extended(now, &[lease], &Extended { leases: vec![LeaseStatus::Stale], cancel: vec![] });
    assert_eq!(core.waiting(), 0);
    for start in &starts {
        assert!(start.stop.is_cancelled());
        assert!(end(&mut core, now, start).is_none());
    }
    assert_eq!(core.unsettled(), 0);
}

#[test]
fn what_waits_for_a_limit_that_was_closed_goes_back() {
    let now = Instant::now();
    let mut core = core(10);
    let starts = claim_ahead(&mut core, now, 4, 1);
    core.config.closings.fetch_add(1, Ordering::AcqRel);
    assert!(end(&mut core, now, &starts[0]).is_none());
    let mut words = words(&mut core);
    words.retain(|verdict| *verdict == Verdict::Release);
    assert_eq!((words.len(), core.waiting()), (3, 0));
}

#[test]
fn a_claim_that_was_under_way_is_not_believed_either() {
    let now = Instant::now();
    let mut core = core(10);
    let plan = core.plan_claim(now, true).expect("a claim is due");
    core.config.closings.fetch_add(1, Ordering::AcqRel);
    let jobs = vec![job(plan.lease), job(plan.lease)];
    let starts = answered(&mut core, now, &plan, jobs, 1);
    assert!(end(&mut core, now, &starts[0]).is_none());
    assert_eq!(core.waiting(), 0);
}

#[test]
fn as_much_is_claimed_ahead_as_is_done_in_a_tenth_of_a_second() {
    let mut now = Instant::now();
    let mut core = core(10);
    let kinds = [OTHER, kind()];
    let mut took = |core: &mut QueueCore, ms: u64| {
        let starts = claim_ahead(core, now, 1, 1);
        now += Duration::from_millis(ms);
        end(core, now, &starts[0]);
        core.ahead(&kinds)
    };
    assert_eq!(took(&mut core, 20), [0, 5]);
    assert_eq!(took(&mut core, 50), [0, 2], "a slow job counts at once");
    assert_eq!(took(&mut core, 1_000), [0, 0]);
    core.retry_in = None;
    assert!(core.ahead(&kinds).is_empty(), "no limit binds");
}
