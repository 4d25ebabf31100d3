//! The numbers that alerts are made of.

use crate::{Harness, KIND, OTHER_KIND, QUEUE, job, jobs, report};
use job_core::{DeadReason, Gauges, KindGauge, Verdict, When};

async fn look(h: &Harness) -> Gauges {
    h.backend.gauges(&QUEUE, 1_000).await.expect("gauges work")
}

/// What is known of a kind: the number of its first ready job in each part of the queue.
fn of(gauges: &Gauges, kind: &job_core::Kind) -> Vec<KindGauge> {
    let mine: Vec<_> = gauges.kinds.iter().filter(|k| k.kind == *kind).cloned().collect();
    for gauge in &mine {
        let given = gauges.given.get(gauge.part).expect("a part that it has");
        assert!(gauge.number <= *given, "{gauge:?} has a number that was not given yet: {gauges:?}");
    }
    mine
}

/// Dead and ready jobs are counted, others are not; a pause shows.
pub async fn they_count_what_there_is(h: &Harness) {
    let mut new = jobs(7);
    new[6].when = When::After(h.units(50));
    h.enqueue(&new).await;
    let held = h.take(4).jobs().await;
    for taken in &held[..2] {
        h.apply(taken.hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    }
    h.apply(held[2].hold, Verdict::Retry { after: h.units(50), error: report("e") }).await;
    let seen = look(h).await;
    assert_eq!((seen.dead, seen.ready, seen.paused), (2, 2, false));
    h.backend.pause(&QUEUE).await.expect("pause works");
    assert_eq!(h.backend.replay(&[held[0].hold.job]).await.expect("replay works"), [true]);
    assert_eq!(h.backend.discard(&[held[1].hold.job]).await.expect("discard works"), [true]);
    let seen = look(h).await;
    assert_eq!((seen.dead, seen.ready, seen.paused), (0, 3, true));
}

/// A paused kind shows, and its jobs are counted.
pub async fn a_paused_kind_shows(h: &Harness) {
    h.enqueue(&jobs(2)).await;
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works");
    h.backend.pause_kind(&QUEUE, &OTHER_KIND).await.expect("pause works");
    h.backend.resume_kind(&QUEUE, &OTHER_KIND).await.expect("resume works");
    let seen = look(h).await;
    assert_eq!((seen.ready, seen.paused, seen.paused_kinds.as_slice()), (2, false, &[KIND][..]));
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    assert_eq!(look(h).await.paused_kinds, []);
}

/// Suspects count as ready; a count is right up to where it was asked to go.
pub async fn counts_go_as_far_as_asked(h: &Harness) {
    h.enqueue(&jobs(5)).await;
    assert_eq!(h.crash(h.take(2)).await, 2);
    assert_eq!(look(h).await.ready, 5, "two of them are suspects");
    for hold in h.take(3).jobs().await.iter().map(|j| j.hold) {
        h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    }
    for count_to in [1, 2, 3, 100] {
        let seen = h.backend.gauges(&QUEUE, count_to).await.expect("gauges work");
        let least = |all: u64| all.min(u64::from(count_to))..=all;
        assert!(least(3).contains(&seen.dead), "{seen:?} counted to {count_to}");
        assert!(least(2).contains(&seen.ready), "{seen:?} counted to {count_to}");
    }
}

/// Each kind with ready jobs is named with the one that became ready first, whatever its priority; the others are not.
pub async fn the_first_ready_job_of_each_kind_is_named(h: &Harness) {
    let (first, mut second, mut other) = (job(), job(), job());
    second.priority = job_core::Priority::HIGH;
    other.kind = OTHER_KIND;
    h.enqueue_one(&first).await;
    h.pass(h.units(2)).await;
    h.enqueue(&[second, other]).await;
    let (seen, oldest) = (look(h).await, h.units(2));
    let ages: Vec<_> = of(&seen, &KIND).iter().map(|k| k.since_enqueued).collect();
    assert!(ages.iter().max().is_some_and(|age| *age >= oldest), "{ages:?}");
    let others = of(&seen, &OTHER_KIND);
    assert!(others.len() == 1 && others[0].since_enqueued < oldest, "{others:?}");
    assert!(seen.given.len() > 1 || of(&seen, &KIND).len() == 1, "one for each part: {seen:?}");
    let held = h.take(10).kinds(&[KIND]).jobs().await;
    let seen = look(h).await;
    assert_eq!(
        (held.len(), of(&seen, &KIND), of(&seen, &OTHER_KIND).len()),
        (2, vec![], 1),
        "running jobs do not wait"
    );
}

/// A job that comes back is behind those that became ready before it: its number is new.
pub async fn a_job_that_comes_back_has_a_new_number(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let before = of(&look(h).await, &KIND);
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    assert_eq!(of(&look(h).await, &KIND), []);
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    let after = of(&look(h).await, &KIND);
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(before[0].part, after[0].part, "it stays in its part");
    assert!(after[0].number > before[0].number, "{before:?} and then {after:?}");
}

/// A queue that nobody used shows nothing.
pub async fn an_unused_queue_shows_nothing(h: &Harness) {
    let seen = look(h).await;
    assert_eq!((seen.dead, seen.ready, seen.paused, seen.kinds), (0, 0, false, vec![]));
}
