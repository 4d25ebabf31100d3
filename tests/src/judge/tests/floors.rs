//! A run that did too little proves nothing.

use super::outside::{claimed, commit, cut_off, doubt, started};
use super::story::Run;
use crate::judge::event::Event;
use crate::judge::outside::Reach;
use crate::judge::{Floors, check};

#[test]
fn a_run_in_which_nothing_happened_proves_nothing() {
    let run = Run::new();
    let summary = check(&run.told, &run.dump).summary;
    let floors = Floors { kills_at_each: 5, frozen: 3, ..Floors::default() };
    assert_eq!(summary.missing(&floors).len(), 5 + 2 + 4 + 7);
}

#[test]
fn a_run_that_interrupts_no_effect_proves_nothing() {
    let floors = Floors { interrupted: 1, in_doubt: 1, committed: 1, ..Floors::default() };
    let missing = |run: &Run| check(&run.told, &run.dump).summary.missing(&floors);
    let few = |missing: Vec<String>| -> Vec<String> {
        let ours = ["effects", "jobs resumed", "transactions"];
        missing.into_iter().filter(|m| ours.iter().any(|word| m.starts_with(word))).collect()
    };
    let mut run = Run::new();
    assert_eq!(few(missing(&run)).len(), 4);
    let first = started(&mut run, Reach::AtMostOnce);
    run.write(1, Event::Saved { held: first, value: 11 });
    cut_off(&mut run, 1, first);
    let again = claimed(&mut run, 2, first.job, 2);
    run.write(2, Event::Resumed { held: again, found: Some(11) });
    doubt(&mut run, 2, again);
    assert_eq!(few(missing(&run)), ["transactions: 0, needs 1"]);
    let held = started(&mut run, Reach::Transaction);
    commit(&mut run, 1, held);
    assert_eq!(few(missing(&run)), Vec::<String>::new());
}
