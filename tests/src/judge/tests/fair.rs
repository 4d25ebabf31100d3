//! Lines that take turns.

use super::spoilt;
use super::story::Run;
use crate::judge::event::{Event, Under};
use crate::judge::storm::Storm;
use crate::judge::{Floors, Rule, check};
use job_core::JobId;

fn in_line(run: &mut Run, key: &str) -> JobId {
    run.stored_under(Under { fair: Some(key.to_owned()), ..Under::default() })
}

/// Many jobs of a busy line, then one of another, which is claimed when so many of the busy line were.
fn waits(run: &mut Run, turns: usize) {
    let many: Vec<_> = (0..9).map(|_| in_line(run, "busy")).collect();
    let one = in_line(run, "quiet");
    for (n, job) in many.into_iter().enumerate() {
        if n == turns {
            run.later(1);
            run.complete(one, 1);
        }
        run.later(1);
        run.complete(job, 1);
    }
}

#[test]
fn a_line_that_keeps_its_turn_is_found() {
    assert_eq!(spoilt(|run| waits(run, 1)), []);
    assert_eq!(spoilt(|run| waits(run, 2)), [Rule::Starved]);
}

#[test]
fn each_turn_of_its_own_line_lets_every_other_have_one_more() {
    let with = |turns: usize| {
        spoilt(|run| {
            let many: Vec<_> = (0..turns).map(|_| in_line(run, "busy")).collect();
            let (before, last) = (in_line(run, "quiet"), in_line(run, "quiet"));
            for (n, job) in many.into_iter().enumerate() {
                run.later(1);
                run.complete(job, 1);
                if n == 0 {
                    run.later(1);
                    run.complete(before, 1);
                }
            }
            run.later(1);
            run.complete(last, 1);
        })
    };
    assert_eq!(with(2), []);
    assert_eq!(with(3), [Rule::Starved]);
}

#[test]
fn turns_that_nobody_lived_to_write_down_count_for_its_own_line() {
    let with = |claims: u64| {
        spoilt(|run| {
            let many: Vec<_> = (0..3).map(|_| in_line(run, "busy")).collect();
            let (before, last) = (in_line(run, "quiet"), in_line(run, "quiet"));
            for job in many {
                run.later(1);
                run.complete(job, 1);
            }
            run.later(1);
            // Of two claims the first was that of a worker that was killed before it could say so.
            run.complete(before, claims);
            run.complete(last, 1);
        })
    };
    assert_eq!(with(1), [Rule::Starved]);
    assert_eq!(with(2), []);
}

#[test]
fn what_a_crash_gave_back_has_no_turn() {
    let rules = spoilt(|run| {
        let many: Vec<_> = (0..3).map(|_| in_line(run, "busy")).collect();
        for job in &many {
            run.claim(2, *job, 1);
        }
        let one = in_line(run, "quiet");
        for job in many {
            run.later(1);
            run.complete(job, 2);
        }
        run.later(1);
        run.complete(one, 1);
    });
    assert_eq!(rules, []);
}

#[test]
fn a_server_that_is_killed_may_forget_whose_turn_it_is() {
    let rules = spoilt(|run| {
        let many: Vec<_> = (0..3).map(|_| in_line(run, "busy")).collect();
        let one = in_line(run, "quiet");
        run.write(0, Event::Storm { what: Storm::ServerKilled, began: run.now() });
        for job in many {
            run.later(1);
            run.complete(job, 1);
        }
        run.later(1);
        run.complete(one, 1);
    });
    assert_eq!(rules, []);
}

#[test]
fn a_run_in_which_nobody_waits_for_a_turn_proves_nothing() {
    let floors = Floors { passed: 1, ..Floors::default() };
    let passed = |key: &str| {
        let mut run = Run::new();
        let (one, other) = (in_line(&mut run, "busy"), in_line(&mut run, key));
        for job in [one, other] {
            run.later(1);
            run.complete(job, 1);
        }
        let missing = check(&run.told, &run.dump).summary.missing(&floors);
        !missing.iter().any(|m| m.starts_with("waits for a turn"))
    };
    assert!(!passed("busy"));
    assert!(passed("quiet"));
}
