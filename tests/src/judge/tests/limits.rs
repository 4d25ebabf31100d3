//! Jobs under a limit, and in ordered lines.

use super::spoilt;
use crate::judge::Rule;
use crate::judge::event::{Answered, Event, Held, Outcome, Under, Word};
use crate::judge::point::{Action, Point};
use job_core::LeaseId;

fn limited() -> Under {
    Under { concurrency: Some(2), ..Under::default() }
}

fn in_line(key: &str) -> Under {
    Under { line: Some(key.to_owned()), ..Under::default() }
}

#[test]
fn one_job_too_many_is_found() {
    let with = |many: usize| {
        spoilt(|run| {
            let jobs: Vec<_> = (0..many).map(|_| run.stored_under(limited())).collect();
            let held: Vec<_> = jobs.iter().map(|job| run.claim(1, *job, 1)).collect();
            for held in held {
                run.run(1, held, Outcome::Ok);
                run.settle(1, held, Word::Complete, Answered::Applied);
            }
        })
    };
    assert_eq!(with(2), []);
    assert_eq!(with(3), [Rule::OverLimit]);
}

/// Four jobs of one lease, of which two run at a time; or one more.
#[test]
fn jobs_that_share_slots_do_not_run_together() {
    let with = |together: usize, slots: u32| {
        spoilt(|run| {
            let lease = LeaseId::random();
            let jobs: Vec<_> = (0..4).map(|_| run.stored_under(limited())).collect();
            let holds: Vec<_> = jobs.iter().map(|&job| Held { job, claims: 1, lease }).collect();
            let sent = run.now();
            run.write(1, Event::Claimed { sent, holds: holds.clone(), slots: Some(slots) });
            for some in holds.chunks(together) {
                some.iter().for_each(|held| run.start(1, *held));
                for held in some {
                    run.write(1, Event::Effect { held: *held });
                    run.write(1, Event::Ended { held: *held, outcome: Outcome::Ok });
                }
            }
            for held in holds {
                run.settle(1, held, Word::Complete, Answered::Applied);
            }
        })
    };
    assert_eq!(with(2, 2), []);
    assert_eq!(with(4, 2), [Rule::OverLimit]);
    assert_eq!(with(1, 3), [Rule::OverLimit], "the store gave a slot too many");
}

#[test]
fn the_slot_of_a_process_that_was_killed_is_free_some_day() {
    let rules = spoilt(|run| {
        let jobs: Vec<_> = (0..3).map(|_| run.stored_under(limited())).collect();
        let dead = run.claim(2, jobs[0], 1);
        run.write(2, Event::Reached { point: Point::InHandler, action: Action::Kill, unsent: None });
        run.later(2_000);
        run.complete(jobs[1], 1);
        run.complete(jobs[2], 1);
        run.complete(dead.job, 2);
    });
    assert_eq!(rules, []);
}

#[test]
fn a_line_that_does_not_wait_is_found() {
    let with = |early: bool, key: &str| {
        spoilt(|run| {
            let (first, second) = (run.stored_under(in_line("a")), run.stored_under(in_line(key)));
            let held = run.claim(1, first, 1);
            run.run(1, held, Outcome::Failed);
            run.settle(1, held, Word::Retry(100), Answered::Applied);
            run.later(100);
            if early {
                run.complete(second, 1);
            }
            run.complete(first, 2);
            if !early {
                run.complete(second, 1);
            }
        })
    };
    assert_eq!(with(false, "a"), []);
    assert_eq!(with(true, "b"), []);
    assert_eq!(with(true, "a"), [Rule::LineOutOfOrder]);
}
