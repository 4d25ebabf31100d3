//! Each rule about effects, transactions, follow-ups and checkpoints fails on its own doctored history.

use super::story::Run;
use super::{Rule, spoilt};
use crate::judge::event::{Answered, Asked, Conduct, Event, Held, Outcome, Word};
use crate::judge::outside::{Call, Reach, Via};
use job_core::{DeadReason, JobId, JobState};

/// The other side hears a call, and the holder notes its result.
fn call(run: &mut Run, by: usize, held: Held) {
    cut_off(run, by, held);
    run.write(by, Event::Noting { held, name: "effect/send".into() });
}

fn heard(job: JobId, held: Held, asks: bool) -> Call {
    Call { key: format!("{job}/send"), held, asks, via: Via::Http }
}

/// The holder dies before it can note the result.
pub(super) fn cut_off(run: &mut Run, by: usize, held: Held) {
    run.write(by, Event::Calling { held });
    run.dump.calls.push(heard(held.job, held, false));
}

/// A follow-up is announced.
fn announce(run: &mut Run, by: usize, held: Held) -> JobId {
    let job = JobId::new();
    let child = Asked::plain(job, 0, Conduct::Quick);
    run.write(by, Event::Announced { held, child });
    job
}

/// The rest of a good attempt, with the follow-up.
fn finish(run: &mut Run, by: usize, held: Held) {
    let child = announce(run, by, held);
    run.write(by, Event::Effect { held });
    run.write(by, Event::Ended { held, outcome: Outcome::Ok });
    run.settle(by, held, Word::Complete, Answered::Applied);
    run.complete(child, 1);
}

pub(super) fn started(run: &mut Run, reach: Reach) -> Held {
    let job = run.stored(Conduct::Outside(reach));
    claimed(run, 1, job, 1)
}

pub(super) fn claimed(run: &mut Run, by: usize, job: JobId, claims: u64) -> Held {
    let held = run.claim(by, job, claims);
    run.start(by, held);
    held
}

/// Dead, because nobody knows whether its effect has happened.
pub(super) fn doubt(run: &mut Run, by: usize, held: Held) {
    run.write(by, Event::Ended { held, outcome: Outcome::InDoubt });
    run.settle(by, held, Word::DeadInDoubt, Answered::Applied);
    run.keep(held.job, JobState::Dead);
    let last = run.dump.jobs.last_mut().expect("it was kept just now");
    last.reason = Some(DeadReason::EffectInDoubt);
}

/// Committed together with the job, and with a row; the runtime's own verdict finds the job gone.
pub(super) fn commit(run: &mut Run, by: usize, held: Held) {
    run.write(by, Event::Committing { held });
    run.dump.rows.push(held.job);
    run.write(by, Event::Committed { held });
    run.write(by, Event::Ended { held, outcome: Outcome::Ok });
    run.settle(by, held, Word::Retry(100), Answered::AlreadyApplied);
}

#[test]
fn effects_with_every_kind_of_trouble_are_good() {
    let rules = spoilt(|run| {
        for reach in [Reach::ByKey, Reach::AtLeastOnce] {
            let first = started(run, reach);
            cut_off(run, 1, first);
            let again = claimed(run, 2, first.job, 2);
            call(run, 2, again);
            finish(run, 2, again);
        }
        // Asked, and then the frozen holder wakes up: the other side refuses it.
        let first = started(run, Reach::Verified);
        let again = claimed(run, 2, first.job, 2);
        run.dump.calls.push(heard(first.job, again, true));
        cut_off(run, 1, first);
        call(run, 2, again);
        finish(run, 2, again);
        let first = started(run, Reach::AtMostOnce);
        cut_off(run, 1, first);
        let again = claimed(run, 2, first.job, 2);
        doubt(run, 2, again);
        // Killed in the commit, whose transaction was rolled back; the next one is committed, with the follow-up.
        let first = started(run, Reach::Transaction);
        announce(run, 1, first);
        run.write(1, Event::Committing { held: first });
        let again = claimed(run, 2, first.job, 2);
        let child = announce(run, 2, again);
        commit(run, 2, again);
        run.complete(child, 1);
    });
    assert_eq!(rules, []);
}

#[test]
fn skipped_and_repeated_effects_are_found() {
    for reach in [Reach::ByKey, Reach::AtMostOnce, Reach::AtLeastOnce, Reach::Verified] {
        let skipped = spoilt(|run| {
            let held = started(run, reach);
            finish(run, 1, held);
        });
        assert_eq!(skipped, [Rule::EffectSkipped], "{reach:?}");
    }
    for reach in [Reach::AtMostOnce, Reach::Verified] {
        let twice = spoilt(|run| {
            let first = started(run, reach);
            call(run, 1, first);
            let again = claimed(run, 2, first.job, 2);
            call(run, 2, again);
            finish(run, 2, again);
        });
        assert_eq!(twice, [Rule::EffectTwice], "{reach:?}");
    }
}

#[test]
fn keys_that_change_are_found() {
    let another = spoilt(|run| {
        let first = started(run, Reach::ByKey);
        call(run, 1, first);
        let again = claimed(run, 2, first.job, 2);
        call(run, 2, again);
        run.dump.calls[1].key += "/2";
        finish(run, 2, again);
    });
    assert_eq!(another, [Rule::EffectKeys]);
    let shared = spoilt(|run| {
        for _ in 0..2 {
            let held = started(run, Reach::ByKey);
            call(run, 1, held);
            finish(run, 1, held);
        }
        run.dump.calls[1].key = run.dump.calls[0].key.clone();
    });
    assert_eq!(shared, [Rule::EffectKeys]);
}

#[test]
fn a_doubt_that_is_passed_over_is_found() {
    let completed = spoilt(|run| {
        let first = started(run, Reach::AtMostOnce);
        cut_off(run, 1, first);
        let again = claimed(run, 2, first.job, 2);
        finish(run, 2, again);
    });
    assert_eq!(completed, [Rule::DoubtIgnored]);
    // Dead for another reason than its handler gave.
    let unasked = spoilt(|run| {
        let first = started(run, Reach::AtMostOnce);
        cut_off(run, 1, first);
        doubt(run, 1, first);
        run.dump.jobs[0].reason = Some(DeadReason::Permanent);
    });
    assert_eq!(unasked, [Rule::WrongEnd]);
}

#[test]
fn transactions_that_are_torn_from_their_completion_are_found() {
    let committed = |spoil: fn(&mut Run)| {
        spoilt(|run| {
            let held = started(run, Reach::Transaction);
            let child = announce(run, 1, held);
            commit(run, 1, held);
            run.complete(child, 1);
            spoil(run);
        })
    };
    assert_eq!(committed(|_| {}), []);
    assert_eq!(committed(|run| run.dump.rows.clear()), [Rule::Torn]);
    assert_eq!(committed(|run| run.dump.rows.push(run.dump.rows[0])), [Rule::Torn]);
    let dead = spoilt(|run| {
        let held = started(run, Reach::Transaction);
        run.write(1, Event::Ended { held, outcome: Outcome::Permanent });
        run.settle(1, held, Word::DeadPermanent, Answered::Applied);
        run.keep(held.job, JobState::Dead);
        run.dump.rows.push(held.job);
    });
    assert_eq!(dead, [Rule::Torn]);
    let again = spoilt(|run| {
        let held = started(run, Reach::Transaction);
        let child = announce(run, 1, held);
        commit(run, 1, held);
        run.complete(child, 1);
        claimed(run, 2, held.job, 2);
    });
    assert_eq!(again, [Rule::RanAfterEnd]);
    let answered = spoilt(|run| {
        let held = started(run, Reach::Transaction);
        let child = announce(run, 1, held);
        commit(run, 1, held);
        run.settle(1, held, Word::Retry(100), Answered::Applied);
        run.complete(child, 1);
    });
    assert_eq!(answered, [Rule::BadRepeat]);
    // The runtime believed that a transaction had failed which nobody had begun.
    let retried = spoilt(|run| {
        let first = started(run, Reach::ByKey);
        call(run, 1, first);
        run.write(1, Event::Ended { held: first, outcome: Outcome::Ok });
        run.settle(1, first, Word::Retry(0), Answered::Applied);
        let again = claimed(run, 2, first.job, 2);
        finish(run, 2, again);
    });
    assert_eq!(retried, [Rule::WrongEnd]);
}

#[test]
fn follow_ups_without_their_parents_are_found() {
    let lost = spoilt(|run| {
        let held = started(run, Reach::ByKey);
        call(run, 1, held);
        announce(run, 1, held);
        run.write(1, Event::Ended { held, outcome: Outcome::Ok });
        run.settle(1, held, Word::Complete, Answered::Applied);
    });
    assert_eq!(lost, [Rule::FollowUp]);
    let twice = spoilt(|run| {
        let first = started(run, Reach::ByKey);
        call(run, 1, first);
        let child = announce(run, 1, first);
        run.complete(child, 1);
        let again = claimed(run, 2, first.job, 2);
        finish(run, 2, again);
    });
    assert_eq!(twice, [Rule::FollowUp]);
    let of_the_dead = spoilt(|run| {
        let held = started(run, Reach::AtMostOnce);
        cut_off(run, 1, held);
        let child = announce(run, 1, held);
        doubt(run, 1, held);
        run.complete(child, 1);
    });
    assert_eq!(of_the_dead, [Rule::FollowUp]);
}

#[test]
fn checkpoints_that_go_back_are_found() {
    let found = |found| {
        spoilt(|run| {
            let first = started(run, Reach::ByKey);
            run.write(1, Event::Resumed { held: first, found: None });
            run.write(1, Event::Saved { held: first, value: 11 });
            run.write(1, Event::Saved { held: first, value: 12 });
            run.later(1);
            let again = claimed(run, 2, first.job, 2);
            run.write(2, Event::Resumed { held: again, found });
            call(run, 2, again);
            finish(run, 2, again);
        })
    };
    assert_eq!(found(Some(12)), []);
    // The answer to something newer may have been lost.
    assert_eq!(found(Some(13)), []);
    assert_eq!(found(Some(11)), [Rule::CheckpointLost]);
    assert_eq!(found(None), [Rule::CheckpointLost]);
}
