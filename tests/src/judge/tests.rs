//! Each rule fails on its own doctored history, and no other does.

mod batches;
mod fair;
mod floors;
mod limits;
mod order;
mod outside;
mod story;

use super::{Losses, Rule, check};
use crate::judge::event::{Answered, Conduct, Event, Held, Outcome, Word};
use crate::judge::point::{Action, Point};
use crate::judge::storm::Storm;
use job_core::{JobId, JobState};
use story::Run;

/// Spoils a run and says what the checker finds.
fn spoilt(spoil: impl FnOnce(&mut Run)) -> Vec<Rule> {
    let mut run = Run::new();
    spoil(&mut run);
    run.rules()
}

#[test]
fn a_run_with_every_kind_of_trouble_is_good() {
    let rules = spoilt(|run| {
        let quick = run.stored(Conduct::Quick);
        run.complete(quick, 1);
        // Killed after the claim, then run by another, who is killed after its verdict was committed.
        let unlucky = run.stored(Conduct::Quick);
        let first = run.claim(1, unlucky, 1);
        run.start(1, first);
        let second = run.claim(2, unlucky, 2);
        run.run(2, second, Outcome::Ok);
        run.send(2, second, Word::Complete);
        // Frozen before its verdict, which is refused, while another completes the job.
        let frozen = run.stored(Conduct::Quick);
        let old = run.claim(1, frozen, 1);
        run.run(1, old, Outcome::Ok);
        let call = run.send(1, old, Word::Complete);
        run.write(
            1,
            Event::Reached { point: Point::BeforeSettle, action: Action::Freeze, unsent: Some(call) },
        );
        run.write(0, Event::Over { held: old });
        let new = run.claim(2, frozen, 2);
        run.run(2, new, Outcome::Ok);
        run.settle(2, new, Word::Complete, Answered::Applied);
        run.answer(1, call, Answered::Stale);
        // Fails, waits and completes; the answer to its last verdict is lost and the verdict is repeated.
        let failing = run.stored(Conduct::FailsTwice);
        let held = run.claim(1, failing, 1);
        run.run(1, held, Outcome::Failed);
        run.settle(1, held, Word::Retry(100), Answered::Applied);
        run.later(100);
        let held = run.complete(failing, 2);
        run.settle(1, held, Word::Complete, Answered::AlreadyApplied);
        // Dead by its own word.
        let hopeless = run.stored(Conduct::Hopeless);
        let held = run.claim(2, hopeless, 1);
        run.run(2, held, Outcome::Permanent);
        run.settle(2, held, Word::DeadPermanent, Answered::Applied);
        run.keep(hopeless, JobState::Dead);
        // The same key twice, and an enqueue whose outcome nobody knows.
        let (call, first) = run.ask(Conduct::Quick, Some("k"), 50);
        run.ack(call, first, first);
        let (call, again) = run.ask(Conduct::Quick, Some("k"), 0);
        run.ack(call, again, first);
        run.later(50);
        run.complete(first, 1);
        run.ask(Conduct::Quick, None, 0);
    });
    assert_eq!(rules, []);
}

#[test]
fn lost_jobs_are_found() {
    let gone = |run: &mut Run| run.stored(Conduct::Quick);
    let forgotten = spoilt(|run| {
        gone(run);
    });
    assert_eq!(forgotten, [Rule::Lost, Rule::NeverRan]);
    // It ran, but the process was killed before it could say so.
    let unsaid = spoilt(|run| {
        let job = gone(run);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        let call = run.send(1, held, Word::Complete);
        run.write(1, Event::Reached { point: Point::BeforeSettle, action: Action::Kill, unsent: Some(call) });
    });
    assert_eq!(unsaid, [Rule::Lost]);
    // Its only verdict was refused.
    let refused = spoilt(|run| {
        let job = gone(run);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        run.settle(1, held, Word::Complete, Answered::Stale);
    });
    assert_eq!(refused, [Rule::Lost]);
    // The same, sent twice: had the first been applied, the second would have been recognised.
    let unrecognised = spoilt(|run| {
        let job = gone(run);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        run.send(1, held, Word::Complete);
        run.settle(1, held, Word::Complete, Answered::Stale);
    });
    assert_eq!(unrecognised, [Rule::Lost]);
    // Not acknowledged, but it was there: it must not vanish either.
    let vanished = spoilt(|run| {
        let (_, job) = run.ask(Conduct::Quick, None, 0);
        let held = run.claim(1, job, 1);
        run.start(1, held);
    });
    assert_eq!(vanished, [Rule::Lost]);
    // A dead job that is not in the dead-letter queue.
    let unburied = spoilt(|run| {
        let job = run.stored(Conduct::Hopeless);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Permanent);
        run.settle(1, held, Word::DeadPermanent, Answered::Applied);
    });
    assert_eq!(unburied, [Rule::Lost]);
}

#[test]
fn what_never_ran_or_never_ended_is_found() {
    // Completed without a handler.
    let never = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.settle(1, held, Word::Complete, Answered::Applied);
    });
    assert_eq!(never, [Rule::NeverRan, Rule::WrongEnd]);
    let stranded = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.start(1, held);
        run.keep(job, JobState::Ready);
    });
    assert_eq!(stranded, [Rule::Stranded]);
    assert_eq!(spoilt(|run| run.dump.pending = 1), [Rule::Stranded]);
    assert_eq!(spoilt(|run| run.dump.leftovers.push(("leases".into(), 1))), [Rule::Leftover]);
    assert_eq!(spoilt(|run| run.dump.dead = 1), [Rule::Leftover]);
    let repaired = Event::Maintained { reaped: 0, returned: 0, poisoned: 0, repaired: 1 };
    assert_eq!(spoilt(|run| run.write(1, repaired)), [Rule::Repaired]);
}

#[test]
fn what_nobody_asked_for_is_found() {
    assert_eq!(spoilt(|run| run.keep(JobId::new(), JobState::Completed)), [Rule::Phantom]);
    let unknown = spoilt(|run| {
        run.complete(JobId::new(), 1);
    });
    assert_eq!(unknown, [Rule::Phantom]);
    let changed = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        run.complete(job, 1);
        for record in &mut run.told[1].records {
            if let Event::Started { n, .. } = &mut record.event {
                *n += 1;
            }
        }
    });
    assert_eq!(changed, [Rule::Phantom]);
    // Another process's claim.
    let stolen = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.complete(job, 1);
        run.start(2, Held { claims: 2, ..held });
    });
    assert_eq!(stolen, [Rule::Phantom]);
    let refused = spoilt(|run| {
        let (call, job) = run.ask(Conduct::Quick, None, 0);
        run.write(0, Event::EnqueueFailed { call, unknown: false });
        run.complete(job, 1);
    });
    assert_eq!(refused, [Rule::RefusedButRan]);
    let deduplicated = spoilt(|run| {
        let first = run.stored(Conduct::Quick);
        run.complete(first, 1);
        let (call, job) = run.ask(Conduct::Quick, None, 0);
        run.ack(call, job, first);
        run.complete(job, 1);
    });
    assert_eq!(deduplicated, [Rule::RefusedButRan]);
    let two = spoilt(|run| {
        for _ in 0..2 {
            let (call, job) = run.ask(Conduct::Quick, Some("k"), 0);
            run.ack(call, job, job);
            run.complete(job, 1);
        }
    });
    assert_eq!(two, [Rule::KeyTwice]);
}

#[test]
fn broken_fences_are_found() {
    // A verdict of an old claim is applied after a newer one.
    let stale = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let old = run.claim(1, job, 1);
        run.run(1, old, Outcome::Failed);
        let new = run.claim(2, job, 2);
        run.settle(1, old, Word::Retry(0), Answered::Applied);
        run.run(2, new, Outcome::Ok);
        run.settle(2, new, Word::Complete, Answered::Applied);
    });
    assert_eq!(stale, [Rule::StaleAccepted]);
    // Nobody has claimed it again yet, but the lease was seen to be over.
    let frozen = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        let call = run.send(1, held, Word::Complete);
        run.write(
            1,
            Event::Reached { point: Point::BeforeSettle, action: Action::Freeze, unsent: Some(call) },
        );
        run.write(0, Event::Over { held });
        run.answer(1, call, Answered::Applied);
    });
    assert_eq!(frozen, [Rule::StaleAccepted]);
    let again = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        run.complete(job, 1);
        let held = run.claim(2, job, 2);
        run.start(2, held);
    });
    assert_eq!(again, [Rule::RanAfterEnd]);
    let twice = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        // Both are on their way at once, so neither is a repeat that should have been seen.
        let (a, b) = (run.send(1, held, Word::Complete), run.send(1, held, Word::Complete));
        run.answer(1, a, Answered::Applied);
        run.answer(1, b, Answered::Applied);
    });
    assert_eq!(twice, [Rule::TwoEnds]);
    let both = spoilt(|run| {
        let job = run.stored(Conduct::Hopeless);
        run.complete(job, 1);
        run.keep(job, JobState::Dead);
    });
    assert_eq!(both, [Rule::TwoEnds, Rule::WrongEnd]);
}

#[test]
fn broken_claims_are_found() {
    let shared = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        run.claim(2, job, 1);
        run.complete(job, 1);
    });
    assert_eq!(shared, [Rule::TwoHolders]);
    let same_lease = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.complete(job, 1);
        run.claim_as(2, held);
    });
    assert_eq!(same_lease, [Rule::TwoHolders]);
    // A killed server may forget a claim, but not that another lease is not this one.
    let forgotten = |answer| {
        spoilt(|run| {
            let job = run.stored(Conduct::Quick);
            let old = run.claim(2, job, 1);
            run.write(0, Event::Storm { what: Storm::ServerKilled, began: run.now() });
            run.later(1);
            run.complete(job, 1);
            run.run(2, old, Outcome::Ok);
            run.settle(2, old, Word::Complete, answer);
        })
    };
    assert_eq!(forgotten(Answered::Stale), []);
    assert_eq!(forgotten(Answered::Applied), [Rule::TwoEnds, Rule::StaleAccepted]);
    let back = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        run.claim(2, job, 2);
        run.later(1);
        run.complete(job, 1);
        // Only the numbers are wrong: the verdict is not from the past.
        run.told[1].records.retain(|r| !matches!(r.event, Event::SettleAnswered { .. }));
    });
    assert_eq!(back, [Rule::ClaimsWentBack]);
    let twice = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.complete(job, 1);
        run.start(1, held);
    });
    assert_eq!(twice, [Rule::RanTwiceInOneClaim]);
}

#[test]
fn bad_answers_and_bad_words_are_found() {
    let repeat = |answer| {
        spoilt(|run| {
            let job = run.stored(Conduct::Quick);
            let held = run.complete(job, 1);
            run.settle(1, held, Word::Complete, answer);
        })
    };
    assert_eq!(repeat(Answered::Stale), [Rule::BadRepeat]);
    assert_eq!(repeat(Answered::Applied), [Rule::TwoEnds, Rule::BadRepeat]);
    let first = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        run.settle(1, held, Word::Complete, Answered::AlreadyApplied);
    });
    assert_eq!(first, [Rule::BadRepeat]);
    let short = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        let call = run.send(1, held, Word::Complete);
        run.write(1, Event::SettleAnswered { call, answers: Vec::new() });
    });
    assert_eq!(short, [Rule::AnswerLength]);
    let poisoned = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.start(1, held);
        run.keep(job, JobState::Dead);
    });
    assert_eq!(poisoned, [Rule::WrongEnd]);
    let cancelled = spoilt(|run| {
        let job = run.stored(Conduct::Quick);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Ok);
        run.settle(1, held, Word::Cancel, Answered::Applied);
    });
    assert_eq!(cancelled, [Rule::WrongEnd]);
}

#[test]
fn losses_are_told_apart_and_recoveries_are_timed() {
    let mut run = Run::new();
    run.write(2, Event::Boot { pid: 2 });
    let jobs: Vec<JobId> = (0..5).map(|_| run.stored(Conduct::Quick)).collect();
    for at in [1, 3] {
        run.complete(jobs[at], 1);
    }
    let held = run.claim(1, jobs[2], 1);
    run.start(1, held);
    run.write(0, Event::Killed { name: "one".into() });
    run.later(1_200);
    let held = run.claim(2, jobs[2], 2);
    run.start(2, held);
    let summary = check(&run.told, &run.dump).summary;
    assert_eq!((summary.lost, summary.losses), (3, Losses { prefix: 1, middle: 1, postfix: 1 }));
    assert_eq!((summary.calm_recovery.jobs, summary.calm_recovery.max), (1, 1_202));
    assert_eq!(summary.recovery, summary.calm_recovery);
    // There was nobody who could have run it.
    run.told[2].records.retain(|r| !matches!(r.event, Event::Boot { .. }));
    let summary = check(&run.told, &run.dump).summary;
    assert_eq!((summary.recovery.jobs, summary.calm_recovery.jobs), (1, 0));
}

#[test]
fn what_comes_too_early_is_found() {
    let delayed = spoilt(|run| {
        let (call, job) = run.ask(Conduct::Quick, None, 300);
        run.ack(call, job, job);
        run.later(200);
        run.complete(job, 1);
    });
    assert_eq!(delayed, [Rule::Early]);
    let retried = spoilt(|run| {
        let job = run.stored(Conduct::FailsTwice);
        let held = run.claim(1, job, 1);
        run.run(1, held, Outcome::Failed);
        run.settle(1, held, Word::Retry(100), Answered::Applied);
        run.later(50);
        run.complete(job, 2);
    });
    assert_eq!(retried, [Rule::Early]);
}
