//! C12: what a claim takes ahead of a full limit.

use super::c12_limits::{ELSEWHERE, complete, count, declare, in_other_queue, name, others, rule, under};
use crate::{Harness, KIND, OTHER_KIND, QUEUE, Take, jobs};
use job_core::{ClaimedJob, Declared, KindLimits, Limit, LimitName, Priority};

/// The jobs of a claim, and how many slots it has by its own account.
async fn ahead(h: &Harness, take: Take<'_>) -> (Vec<ClaimedJob>, usize) {
    let claim = take.claim().await;
    assert_eq!(take.claim().await.ahead, claim.ahead, "a repetition is told the same");
    let of_kind = count(&claim.jobs, &KIND);
    let Some(ahead) = claim.ahead else { return (claim.jobs, of_kind) };
    assert_eq!(ahead.kind, KIND);
    let slots = ahead.slots as usize;
    assert!(slots < of_kind, "{of_kind} jobs, {slots} at a time: none is ahead");
    h.pass(h.unit()).await;
    (claim.jobs, slots)
}

/// What a claim takes ahead shares the slots that it got: they are free when less is left of it than there are slots.
pub async fn what_is_taken_ahead_shares_slots(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(3))]).await;
    h.enqueue(&jobs(20)).await;
    let (mut held, slots) = ahead(h, h.take(10).ahead(2)).await;
    assert_eq!(slots, 3);
    assert!(held.len() <= 9, "two for each slot: {}", held.len());
    while held.len() >= 3 {
        assert!(h.take(5).ahead(2).jobs().await.is_empty(), "{} are left, which use three slots", held.len());
        let limits = h.backend.limits().await.expect("limits work");
        assert_eq!(limits[0].in_use, 3, "{} are left", held.len());
        complete(h, &held.split_off(held.len() - 1)).await;
    }
    let (next, slots) = ahead(h, h.take(5).ahead(1)).await;
    assert_eq!(slots, 1);
    complete(h, &held).await;
    complete(h, &next).await;
    assert_eq!(h.take(9).jobs().await.len(), 3, "all slots are free again");
}

/// Other jobs of a claim count one by one, and so do all of them under a limit that they share.
pub async fn what_is_taken_ahead_is_of_one_kind(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    let most = Some(rule(&Limit::concurrency(10)));
    h.backend.set_limit(&LimitName::of_queue(&QUEUE), most).await.expect("works");
    h.pass(h.units(21)).await;
    let mut mixed = jobs(12);
    for (n, job) in mixed.iter_mut().enumerate() {
        job.priority = Priority::new((n % 3) as u8).expect("a priority");
    }
    h.enqueue(&mixed).await;
    h.enqueue(&others(5)).await;
    let (held, slots) = ahead(h, h.take(20).ahead(3)).await;
    assert_eq!((slots, count(&held, &OTHER_KIND)), (2, 5));
    assert!(count(&held, &KIND) <= 8);
    h.enqueue(&others(9)).await;
    let more = h.take(20).jobs().await;
    assert_eq!((count(&more, &KIND), count(&more, &OTHER_KIND)), (0, 3), "ten in all");
    let (ours, theirs): (Vec<_>, Vec<_>) = held.into_iter().partition(|j| j.kind == KIND);
    complete(h, &theirs[..1]).await;
    assert_eq!(h.take(20).jobs().await.len(), 1);
    complete(h, &ours).await;
    let more = h.take(20).jobs().await;
    assert_eq!(more.len(), 2, "two slots, however many they were");
}

/// What was taken ahead comes back with the rest when its process dies.
pub async fn what_is_taken_ahead_comes_back(h: &Harness) {
    declare(h, &[("stripe", Limit::concurrency(2))]).await;
    h.enqueue(&jobs(6)).await;
    let returned = h.crash(h.take(6).ahead(2)).await;
    assert!((2..=6).contains(&returned), "{returned}");
    let suspects = h.take(0).suspects(6).jobs().await;
    assert_eq!(suspects.len(), 2, "and each needs a slot of its own");
    complete(h, &suspects).await;
    let mut done = 2;
    while done < 6 {
        let got = h.take(6).suspects(6).jobs().await;
        assert!((1..=2).contains(&got.len()), "{done} are done");
        complete(h, &got).await;
        done += got.len();
    }
}

/// Where others wait for the same slots nothing is taken ahead: other kinds, and other queues.
pub async fn nothing_is_taken_ahead_of_others(h: &Harness) {
    let kinds = || vec![under(KIND, &["stripe"]), under(OTHER_KIND, &["stripe"])];
    let limits = vec![(name("stripe"), Some(rule(&Limit::concurrency(2))))];
    let declared = Declared { limits, kinds: kinds() };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    let mut first = jobs(6);
    first[2..].iter_mut().for_each(|job| job.priority = Priority::LOW);
    h.enqueue(&first).await;
    // A queue in parts may give two of them first.
    h.enqueue(&others(3)).await;
    let claim = h.take(9).ahead(4).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "another kind waits");
    complete(h, &claim.jobs).await;
    let claim = h.take(9).kinds(&[KIND]).ahead(4).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "though this worker does not know it");
    complete(h, &claim.jobs).await;
    let mut waited = 0;
    // Three at most, in two slots.
    for _ in 0..2 {
        let held = h.take(9).kinds(&[OTHER_KIND]).jobs().await;
        waited += held.len();
        complete(h, &held).await;
    }
    assert!(waited >= 1, "it waited");
    h.backend.declare(&ELSEWHERE, &declared).await.expect("declare works");
    h.enqueue(&in_other_queue(3)).await;
    h.enqueue(&jobs(9)).await;
    let claim = h.take(9).ahead(4).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "another queue waits");
    complete(h, &claim.jobs).await;
    assert_eq!(h.take(9).queue(&ELSEWHERE).jobs().await.len(), 2);
}

/// Tokens are for jobs that start at once, lines are strict, and without a limit that binds there is nothing to be ahead of.
pub async fn nothing_else_is_taken_ahead(h: &Harness) {
    let most = |n| Limit::concurrency(n);
    declare(h, &[("stripe", most(2)), ("rate", Limit::per("100/h").burst(100))]).await;
    h.enqueue(&jobs(9)).await;
    let claim = h.take(9).ahead(2).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "there is a rate");
    declare(h, &[("stripe", most(2))]).await;
    h.pass(h.units(21)).await;
    complete(h, &claim.jobs).await;
    let claim = h.take(9).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "nobody has allowed it");
    complete(h, &claim.jobs).await;
    let ordered = KindLimits { ordered: true, ..under(KIND, &["stripe"]) };
    let limits = vec![(name("stripe"), Some(rule(&most(2))))];
    h.backend.declare(&QUEUE, &Declared { limits, kinds: vec![ordered] }).await.expect("declare works");
    h.pass(h.units(21)).await;
    let claim = h.take(9).ahead(2).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (2, None), "its jobs come one after the other");
    complete(h, &claim.jobs).await;
    h.enqueue(&jobs(2)).await;
    declare(h, &[("stripe", most(9))]).await;
    h.pass(h.units(21)).await;
    let claim = h.take(9).ahead(2).claim().await;
    assert_eq!((claim.jobs.len(), claim.ahead), (5, None), "all that are left");
}

/// A limit of several queues is used to its end, though claims hold what has long ended.
pub async fn what_has_ended_counts_in_no_queue(h: &Harness) {
    let limits = vec![(name("stripe"), Some(rule(&Limit::concurrency(10))))];
    let declared = Declared { limits, kinds: vec![under(KIND, &["stripe"])] };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    h.backend.declare(&ELSEWHERE, &declared).await.expect("declare works");
    h.enqueue(&jobs(8)).await;
    h.enqueue(&in_other_queue(20)).await;
    let here = h.take(8).jobs().await;
    assert_eq!(here.len(), 8);
    complete(h, &here[1..]).await;
    let there = h.take(3).queue(&ELSEWHERE).jobs().await;
    assert_eq!(there.len(), 3);
    assert_eq!(h.take(9).queue(&ELSEWHERE).jobs().await.len(), 6, "four of ten are in use");
}
