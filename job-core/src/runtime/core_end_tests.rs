//! How verdicts find their way to the store, and how handlers and the queue come to their end.

use super::*;

#[test]
fn the_settler_is_told_once_and_sends_one_batch_at_a_time() {
    let now = Instant::now();
    let mut core = core(8);
    let starts = claim(&mut core, now, 3);
    let end = |core: &mut QueueCore, n: usize| core.job_ended(now, starts[n].slot, complete(&starts[n])).1;
    assert_eq!(end(&mut core, 0), Nudge::Settler);
    assert_eq!(end(&mut core, 1), Nudge::Nobody, "told once");
    assert_eq!(core.plan_settle(false).expect("two").len(), 2);
    assert_eq!(end(&mut core, 2), Nudge::Nobody, "a batch is under way");
    assert!(core.plan_settle(true).is_none());
    core.settle_done(&[Settled::Applied; 2]);
    assert_eq!(core.nudge(), Nudge::Settler);
}

#[test]
fn verdicts_wait_for_a_claim_under_way_unless_it_is_the_last() {
    let now = Instant::now();
    let mut core = core(2);
    let starts = claim(&mut core, now, 2);
    assert_eq!(core.job_ended(now, starts[0].slot, complete(&starts[0])).1, Nudge::Claimer);
    core.plan_claim(now, false).expect("hungry");
    assert_eq!(
        core.job_ended(now, starts[1].slot, complete(&starts[1])).1,
        Nudge::Nobody,
        "the next one takes it"
    );
    assert_eq!(core.stop_claiming(), Nudge::Settler, "there is no next one");
}

#[test]
fn verdicts_of_a_failed_settle_are_sent_again_first() {
    let now = Instant::now();
    let mut core = core(8);
    let starts = claim(&mut core, now, 2);
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    let lost = core.plan_settle(false).expect("one");
    core.job_ended(now, starts[1].slot, complete(&starts[1]));
    core.settle_failed();
    assert_eq!(core.nudge(), Nudge::Nobody, "only the timer tries again");
    assert!(core.plan_settle(false).is_none());
    let again = core.plan_settle(true).expect("the timer");
    assert_eq!((again.len(), again[0].hold), (2, lost[0].hold));
    assert_eq!(core.unsettled(), 2);
}

#[test]
fn one_verdict_is_settled_at_once_when_idle() {
    let now = Instant::now();
    let mut core = core(8);
    let starts = claim(&mut core, now, 1);
    let (_, nudge) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert_eq!(nudge, Nudge::Settler);
    assert_eq!(core.plan_settle(false).expect("one").len(), 1);
    assert!(!core.is_quiet());
    core.settle_done(&[Settled::Applied]);
    assert!(core.is_quiet() && core.running() == 0);
    assert_eq!(core.unsettled(), 0);
}

#[test]
fn a_handler_is_told_why_it_is_to_stop() {
    let now = Instant::now();
    let mut core = core(4);
    let starts = claim(&mut core, now, 2);
    let reasons = |core: &QueueCore| [core.stop_reason(starts[0].slot), core.stop_reason(starts[1].slot)];
    let lease = starts[0].job.hold.lease;
    let asked = Extended { leases: vec![LeaseStatus::Held], cancel: vec![starts[0].job.hold.job] };
    core.extended(now, &[lease], &asked);
    assert_eq!(reasons(&core), [Some(StopReason::Cancelled), None]);
    core.cancel_all();
    assert_eq!(
        reasons(&core),
        [Some(StopReason::Cancelled), Some(StopReason::Shutdown)],
        "the first reason counts"
    );
    let stale = Extended { leases: vec![LeaseStatus::Stale], cancel: Vec::new() };
    core.extended(now, &[lease], &stale);
    assert_eq!(reasons(&core), [Some(StopReason::LeaseLost); 2], "but a lost lease outweighs all");
}

#[test]
fn what_was_claimed_ahead_goes_back_at_shutdown() {
    let now = Instant::now();
    let mut core = core(2);
    core.prefetch = 10;
    let starts = claim(&mut core, now, 12);
    assert_eq!(starts.len(), 2);
    assert_eq!(core.stop_claiming(), Nudge::Settler);
    let released = core.plan_settle(false).expect("released");
    assert_eq!(released.len(), 10);
    assert!(released.iter().all(|s| s.verdict == Verdict::Release));
}

#[test]
fn a_restarted_settler_sends_again_what_was_under_way() {
    let now = Instant::now();
    let mut core = core(8);
    let starts = claim(&mut core, now, 1);
    core.job_ended(now, starts[0].slot, complete(&starts[0]));
    let lost = core.plan_settle(false).expect("one");
    core.settler_restarted();
    assert_eq!(core.nudge(), Nudge::Settler, "at once, and it is told again");
    assert_eq!(core.plan_settle(false).expect("again"), lost);
}

#[test]
fn a_queue_is_quiet_when_nothing_is_left_to_do() {
    let now = Instant::now();
    let mut core = core(1);
    core.prefetch = 10;
    assert!(core.is_quiet());
    let plan = core.plan_claim(now, true).expect("due");
    assert!(!core.is_quiet(), "a claim is under way");
    let starts = core.claim_done(now, &[], Claim::new(vec![job(plan.lease), job(plan.lease)]));
    assert_eq!((core.is_quiet(), core.running(), core.unsettled()), (false, 1, 2));
    let (next, _) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    let next = next.expect("it was claimed ahead");
    assert_eq!((core.running(), core.unsettled()), (1, 2), "the store does not know of the first yet");
    core.stop_claiming();
    core.job_ended(now, next.slot, complete(&next));
    assert!(!core.is_quiet(), "verdicts wait");
    core.plan_settle(false).expect("two verdicts");
    assert!(!core.is_quiet(), "they are on their way");
    core.settle_done(&[Settled::Applied; 2]);
    assert_eq!((core.is_quiet(), core.unsettled()), (true, 0));
}

#[test]
fn a_lost_lease_takes_what_was_claimed_ahead_under_it_and_nothing_else() {
    let now = Instant::now();
    let mut core = core(1);
    core.prefetch = 10;
    let first = claim(&mut core, now, 3)[0].job.hold.lease;
    let plan = core.plan_claim(now, true).expect("due");
    core.claim_done(now, &[], Claim::new(vec![job(plan.lease), job(plan.lease)]));
    assert_eq!(core.unsettled(), 5);
    let stale = Extended { leases: vec![LeaseStatus::Stale], cancel: Vec::new() };
    core.extended(now, &[first], &stale);
    let left: Vec<_> = core.backlog.iter().map(|j| j.hold.lease).collect();
    assert_eq!(
        (left, core.unsettled()),
        (vec![plan.lease; 2], 3),
        "the one that runs is told of when it ends"
    );
}

#[test]
fn leases_are_extended_until_the_last_verdict_is_stored() {
    let now = Instant::now();
    let mut core = core(2);
    let starts = claim(&mut core, now, 2);
    let lease = starts[0].job.hold.lease;
    core.stop_claiming();
    core.cancel_all();
    assert!(starts.iter().all(|s| s.stop.is_cancelled()));
    for start in &starts {
        assert_eq!(core.leases(), [lease]);
        core.job_ended(now, start.slot, complete(start));
    }
    core.plan_settle(false).expect("two verdicts");
    assert_eq!(core.leases(), [lease]);
    core.settle_done(&[Settled::Applied; 2]);
    assert!(core.leases().is_empty());
}

#[test]
fn what_ends_during_a_claim_makes_room_under_a_limit() {
    let now = Instant::now();
    let mut core = core(8);
    let starts = claim(&mut core, now, 2);
    core.plan_claim(now, true).expect("a claim is due");
    let (_, nudge) = core.job_ended(now, starts[0].slot, complete(&starts[0]));
    assert_eq!(nudge, Nudge::Nobody, "the verdict waits for the claim under way");
    let limited = || Claim { retry_in: Some(LEASE), ..Claim::default() };
    core.claim_done(now, &[], limited());
    assert_eq!(core.nudge(), Nudge::Claimer, "whose claim carries the verdict, and finds the room");
    let plan = core.plan_claim(now, false).expect("a claim is due");
    assert_eq!(plan.settlements.len(), 1);
    core.claim_done(now, &[Settled::Applied], limited());
    assert_eq!(core.nudge(), Nudge::Nobody, "nothing has ended since");
}
