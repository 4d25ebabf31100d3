//! C12: lines that are worked off strictly in order.

use super::c12_lines::{counts, declare, key_of, line_of};
use crate::{Harness, LONG, report};
use job_core::{DeadReason, LimitRule, Verdict};
use std::collections::BTreeMap;

/// An ordered line stands still until the job before has ended, whatever it goes through.
pub async fn an_ordered_line_waits_for_the_job_before(h: &Harness) {
    declare(h, LimitRule::default(), true).await;
    let new = line_of("a", 4);
    h.enqueue(&new).await;
    h.enqueue(&line_of("b", 1)).await;
    let got = h.take(9).jobs().await;
    assert_eq!(counts(&got), BTreeMap::from([("a", 1), ("b", 1)]));
    let mut held = got.into_iter().find(|j| key_of(j) == "a").expect("one of a");
    assert_eq!(held.hold.job, new[0].id);
    h.apply(held.hold, Verdict::Retry { after: h.units(3), error: report("e") }).await;
    assert!(h.take(9).jobs().await.is_empty(), "it waits for its next attempt");
    h.pass(h.units(3)).await;
    h.promote(1).await;
    held = h.take(9).jobs().await.remove(0);
    assert_eq!((held.hold.job, held.attempt), (new[0].id, 2));
    h.apply(held.hold, Verdict::Snooze { delay: h.units(3) }).await;
    assert!(h.take(9).jobs().await.is_empty(), "it is put off");
    h.pass(h.units(3)).await;
    h.promote(1).await;
    held = h.take(9).jobs().await.remove(0);
    assert_eq!(held.hold.job, new[0].id);
    h.apply(held.hold, Verdict::Release).await;
    held = h.take(9).jobs().await.remove(0);
    assert_eq!(held.hold.job, new[0].id);
    h.apply(held.hold, Verdict::Complete).await;
    let second = h.take(9).jobs().await;
    assert_eq!(second.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new[1].id]);
    h.apply(second[0].hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    let third = h.take(9).jobs().await;
    assert_eq!(third.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new[2].id], "the dead hold nobody up");
}

/// A crash does not change the order of a line.
pub async fn an_ordered_line_keeps_its_order_over_a_crash(h: &Harness) {
    declare(h, LimitRule::default(), true).await;
    let new = line_of("a", 3);
    h.enqueue(&new).await;
    assert_eq!(h.crash(h.take(3)).await, 1);
    let mut order = Vec::new();
    for _ in 0..3 {
        let got = h.take(3).suspects(3).solo().jobs().await;
        assert_eq!(got.len(), 1, "{got:?}");
        order.push(got[0].hold.job);
        h.apply(got[0].hold, Verdict::Complete).await;
    }
    assert_eq!(order, new.iter().map(|j| j.id).collect::<Vec<_>>());
}

/// A job that waits for its next attempt and is cancelled holds its line no longer.
pub async fn what_is_gone_holds_no_line(h: &Harness) {
    declare(h, LimitRule::default(), true).await;
    let new = line_of("a", 3);
    h.enqueue(&new).await;
    let held = h.take(9).jobs().await;
    h.apply(held[0].hold, Verdict::Retry { after: LONG, error: report("e") }).await;
    assert!(h.take(9).jobs().await.is_empty(), "it waits for its next attempt");
    h.backend.cancel(new[0].id).await.expect("cancel works");
    let held = h.take(9).jobs().await;
    assert_eq!(held.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new[1].id]);
    h.backend.cancel(new[1].id).await.expect("cancel works");
    h.apply(held[0].hold, Verdict::Cancel).await;
    assert_eq!(h.take(9).jobs().await[0].hold.job, new[2].id);
}
