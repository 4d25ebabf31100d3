//! The rule of turns.

use super::spoilt;
use crate::judge::Rule;
use crate::judge::event::{Conduct, Event};
use crate::judge::storm::Storm;

#[test]
fn what_is_claimed_out_of_turn_is_found() {
    let turned = spoilt(|run| {
        let (first, second) = (run.stored(Conduct::Quick), run.stored(Conduct::Quick));
        run.complete(second, 1);
        run.later(1);
        run.complete(first, 1);
    });
    assert_eq!(turned, [Rule::OutOfOrder]);
    // A server that is killed may forget the first claim of the earlier one, if nobody heard of it.
    let forgotten = spoilt(|run| {
        let (first, second) = (run.stored(Conduct::Quick), run.stored(Conduct::Quick));
        run.complete(second, 1);
        run.write(0, Event::Storm { what: Storm::ServerKilled, began: run.now() });
        run.later(1);
        run.complete(first, 1);
    });
    assert_eq!(forgotten, []);
    // The first claim of the earlier one was lost with its process, so it comes back later.
    let returned = spoilt(|run| {
        let (first, second) = (run.stored(Conduct::Quick), run.stored(Conduct::Quick));
        run.complete(second, 1);
        run.later(1);
        run.complete(first, 2);
    });
    assert_eq!(returned, []);
}
