//! C12: limits that adapt to what is behind them.

use super::c12_limits::{complete, declare, name, rule};
use crate::{Harness, LONG, jobs};
use job_core::{Limit, LimitRecord, LimitStep};
use std::time::Duration;

async fn step(h: &Harness, step: LimitStep) -> Option<u32> {
    h.backend.adapt_limit(&name("search"), step).await.expect("adapt works")
}

/// A job that was claimed just now has failed.
async fn lower(h: &Harness) -> Option<u32> {
    // After whatever was before.
    h.pass(h.units(1)).await;
    step(h, LimitStep::Lower { claimed: Duration::ZERO }).await
}

async fn look(h: &Harness) -> LimitRecord {
    let limits = h.backend.limits().await.expect("limits work");
    limits.into_iter().find(|l| l.name == name("search")).expect("it is known")
}

/// It goes down by quarters and up by ones, and claims hold to it.
pub async fn a_limit_adapts_between_its_bounds(h: &Harness) {
    declare(h, &[("search", Limit::concurrency(8).adaptive(3))]).await;
    h.enqueue(&jobs(30)).await;
    assert_eq!(step(h, LimitStep::Raise).await, Some(8), "no more than its concurrency");
    assert_eq!(lower(h).await, Some(6));
    let held = h.take(20).jobs().await;
    assert_eq!(held.len(), 6);
    assert_eq!(lower(h).await, Some(4));
    assert_eq!(lower(h).await, Some(3));
    assert_eq!(lower(h).await, Some(3), "no fewer than it may come down to");
    let known = look(h).await;
    assert_eq!((known.adapted, known.in_use, known.rule().concurrency), (Some(3), 6, Some(8)));
    complete(h, &held).await;
    assert_eq!(h.take(20).jobs().await.len(), 3);
    assert_eq!(step(h, LimitStep::Raise).await, Some(4));
    assert_eq!(h.take(20).jobs().await.len(), 1);
}

/// Many attempts that run at once fail of the same trouble: those claimed before it was lowered do not lower it again.
pub async fn one_time_of_trouble_lowers_once(h: &Harness) {
    declare(h, &[("search", Limit::concurrency(100).adaptive(1))]).await;
    h.pass(h.units(5)).await;
    assert_eq!(lower(h).await, Some(75));
    for _ in 0..3 {
        h.pass(h.units(1)).await;
        assert_eq!(
            step(h, LimitStep::Lower { claimed: h.units(4) }).await,
            Some(75),
            "it was claimed before"
        );
    }
    h.pass(h.units(5)).await;
    assert_eq!(step(h, LimitStep::Lower { claimed: h.units(2) }).await, Some(56), "it was claimed after");
    assert_eq!(step(h, LimitStep::Lower { claimed: LONG }).await, Some(56));
}

/// Only a rule that says so adapts; what it had come to counts again when the rule does.
pub async fn only_what_is_said_to_adapt_adapts(h: &Harness) {
    assert_eq!(step(h, LimitStep::Raise).await, None);
    assert_eq!(h.backend.limits().await.expect("limits work"), [], "and nobody has heard of it");
    declare(h, &[("search", Limit::concurrency(8).adaptive(2))]).await;
    h.enqueue(&jobs(30)).await;
    assert_eq!(lower(h).await, Some(6));
    let fixed = rule(&Limit::concurrency(7));
    h.backend.set_limit(&name("search"), Some(fixed)).await.expect("set works");
    assert_eq!((lower(h).await, look(h).await.adapted), (None, None));
    h.pass(h.units(21)).await;
    assert_eq!(h.take(20).jobs().await.len(), 7, "an operator has the last word");
    let wider = rule(&Limit::concurrency(20).adaptive(10));
    h.backend.set_limit(&name("search"), Some(wider)).await.expect("set works");
    assert_eq!((look(h).await.adapted, step(h, LimitStep::Raise).await), (Some(10), Some(11)));
    h.pass(h.units(21)).await;
    assert_eq!(h.take(20).jobs().await.len(), 4);
}
