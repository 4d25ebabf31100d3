//! Jobs that wait for others.

use super::spoilt;
use crate::judge::Rule;
use crate::judge::event::Conduct;

#[test]
fn a_job_that_runs_before_the_others_is_found() {
    let after = |early: bool| {
        spoilt(|run| {
            let members = [run.stored(Conduct::Quick), run.stored(Conduct::Quick)];
            let next = run.stored_after(&members);
            run.complete(members[0], 1);
            if early {
                run.complete(next, 1);
            }
            run.complete(members[1], 1);
            if !early {
                run.complete(next, 1);
            }
        })
    };
    assert_eq!(after(false), []);
    assert_eq!(after(true), [Rule::BeforeTheOthers]);
}
