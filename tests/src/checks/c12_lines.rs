//! C12: lines of jobs that share a key.

use crate::{Harness, KIND, LONG, OTHER_KIND, QUEUE, job, jobs, report};
use job_core::{
    ClaimedJob, DeadReason, Declared, JobState, KindLimits, Limit, LimitName, LimitRule, NewJob, Priority,
    Settlement, Suspicion, Verdict, When,
};
use std::collections::BTreeMap;

/// A job in the line with this key.
fn in_line(key: &str) -> NewJob {
    let mut job = job();
    job.set_line(key);
    job
}

fn changed(key: &str, change: impl FnOnce(&mut NewJob)) -> NewJob {
    let mut job = in_line(key);
    change(&mut job);
    job
}

pub(super) fn line_of(key: &str, n: usize) -> Vec<NewJob> {
    (0..n).map(|_| in_line(key)).collect()
}

/// Says what holds for the lines of [`KIND`].
pub(super) async fn declare(h: &Harness, line: LimitRule, ordered: bool) {
    let kinds = vec![KindLimits { line, ordered, ..KindLimits::none(KIND) }, KindLimits::none(OTHER_KIND)];
    h.backend.declare(&QUEUE, &Declared { limits: vec![], kinds }).await.expect("declare works");
}

fn concurrency(jobs: u32) -> LimitRule {
    Limit::concurrency(jobs).rule().expect("a valid limit")
}

pub(super) fn key_of(job: &ClaimedJob) -> &str {
    job.headers.get(NewJob::LINE_HEADER).map_or("", String::as_str)
}

fn keys(jobs: &[ClaimedJob]) -> String {
    jobs.iter().map(key_of).collect::<Vec<_>>().join("")
}

pub(super) fn counts(jobs: &[ClaimedJob]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    jobs.iter().for_each(|job| *counts.entry(key_of(job)).or_default() += 1);
    counts
}

/// Claims one job after the other until nothing comes, completing each at once; their keys in order.
async fn one_by_one(h: &Harness) -> String {
    let mut order = String::new();
    loop {
        let got = h.take(1).jobs().await;
        let Some(first) = got.first() else { return order };
        order += key_of(first);
        h.apply(first.hold, Verdict::Complete).await;
    }
}

/// Lines take turns, one job each, however many wait in one, and whatever the size of the claims.
pub async fn lines_take_turns(h: &Harness) {
    h.enqueue(&line_of("a", 60)).await;
    h.enqueue(&line_of("b", 6)).await;
    h.enqueue(&line_of("c", 3)).await;
    let mut order = String::new();
    for limit in [1, 2, 5, 1, 9] {
        let got = h.take(limit).jobs().await;
        assert_eq!(got.len(), limit as usize, "nothing is left idle");
        order += &keys(&got);
    }
    let firsts: Vec<_> = order.split("").filter(|k| !k.is_empty()).collect();
    for (n, part) in firsts.chunks(3).take(3).enumerate() {
        let mut part = part.to_vec();
        part.sort_unstable();
        assert_eq!(part, ["a", "b", "c"], "round {n} of {order}");
    }
    for part in firsts[9..15].chunks(2) {
        let mut part = part.to_vec();
        part.sort_unstable();
        assert_eq!(part, ["a", "b"], "{order}");
    }
    assert_eq!(&order[15..], "aaa", "and then whoever still has jobs");
}

/// A weight is how many jobs a line gives in its turn; a turn that a claim cuts short goes on in the next.
pub async fn a_weight_makes_a_turn_longer(h: &Harness) {
    h.backend.set_weight(&QUEUE, &KIND, "a", 3).await.expect("set works");
    h.enqueue(&line_of("a", 20)).await;
    h.enqueue(&line_of("b", 20)).await;
    let first = h.take(8).jobs().await;
    let first = counts(&first);
    assert_eq!((first["a"], first["b"]), (6, 2));
    let mut more = Vec::new();
    for _ in 0..8 {
        more.extend(h.take(1).jobs().await);
    }
    let more = counts(&more);
    assert_eq!((more["a"], more["b"]), (6, 2), "one by one as well");
    let lines = h.backend.lines(&QUEUE, None, 9).await.expect("lines work");
    let lines: Vec<_> = lines.iter().map(|l| (l.key.as_str(), l.waiting, l.out, l.weight)).collect();
    assert_eq!(lines, [("a", 8, 12, 3), ("b", 16, 4, 1)]);
    h.backend.set_weight(&QUEUE, &KIND, "a", 1).await.expect("set works");
    // What is left of the turn under way may still have the old weight.
    h.take(4).jobs().await;
    let equal = h.take(8).jobs().await;
    let equal = counts(&equal);
    assert_eq!((equal["a"], equal["b"]), (4, 4));
}

/// Within a line the order is that of priorities, then returned jobs, then arrival.
pub async fn a_line_has_an_order(h: &Harness) {
    let new: Vec<NewJob> = [5, 5, 5, 2, 5]
        .iter()
        .map(|&level| changed("a", |j| j.priority = Priority::new(level).expect("valid")))
        .collect();
    h.enqueue(&new).await;
    let first = h.take(2).jobs().await;
    assert_eq!(first.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new[3].id, new[0].id]);
    h.apply(first[1].hold, Verdict::Release).await;
    let rest: Vec<_> = h.take(9).jobs().await.iter().map(|j| j.hold.job).collect();
    assert_eq!(rest, [new[0].id, new[1].id, new[2].id, new[4].id]);
}

/// No more jobs of a line are out than it may have; each that comes back or ends lets one more go. Other lines go on.
pub async fn a_line_gives_no_more_than_it_may(h: &Harness) {
    declare(h, concurrency(2), false).await;
    h.enqueue(&line_of("a", 9)).await;
    h.enqueue(&line_of("b", 1)).await;
    let held = h.take(9).jobs().await;
    assert_eq!(counts(&held), BTreeMap::from([("a", 2), ("b", 1)]));
    let claim = h.take(9).claim().await;
    assert!(claim.jobs.is_empty() && claim.retry_in.is_some(), "{claim:?}");
    let mut of_a: Vec<_> = held.into_iter().filter(|j| key_of(j) == "a").collect();
    let verdicts = [
        Verdict::Complete,
        Verdict::Retry { after: LONG, error: report("e") },
        Verdict::Snooze { delay: LONG },
        Verdict::Dead { reason: DeadReason::Permanent, error: report("e") },
        Verdict::Release,
    ];
    for verdict in verdicts {
        let job = of_a.remove(0);
        let (_, next) = h.take(9).settling(&[Settlement::new(job.hold, verdict.clone())]).await;
        assert_eq!(next.len(), 1, "after {verdict:?}");
        of_a.extend(next);
    }
}

/// A crash keeps nothing of a line: its jobs run again, and count while they are out.
pub async fn a_crash_gives_a_line_back(h: &Harness) {
    declare(h, concurrency(1), false).await;
    h.enqueue(&line_of("a", 3)).await;
    assert_eq!(h.crash(h.take(3)).await, 1);
    let mut got = h.take(3).suspects(3).jobs().await;
    assert_eq!(got.len(), 1, "one at a time, whichever it is");
    let mut seen = 0;
    while let Some(job) = got.pop() {
        seen += 1;
        h.apply(job.hold, Verdict::Complete).await;
        got = h.take(3).suspects(3).jobs().await;
        assert!(got.len() <= 1, "{got:?}");
    }
    assert_eq!(seen, 3);
}

/// A line with a rate gives a burst and then keeps its pace; others have their own.
pub async fn a_line_has_a_rate_of_its_own(h: &Harness) {
    let per = h.units(10);
    let limit = Limit::per(format!("1/{}ms", per.as_millis())).burst(2);
    declare(h, limit.rule().expect("valid"), false).await;
    h.enqueue(&line_of("a", 9)).await;
    h.enqueue(&line_of("b", 9)).await;
    let got = h.take(9).jobs().await;
    assert_eq!(counts(&got), BTreeMap::from([("a", 2), ("b", 2)]));
    let claim = h.take(9).claim().await;
    assert!(claim.jobs.is_empty(), "{claim:?}");
    let wait = claim.retry_in.expect("time will give more");
    assert!(wait <= per + h.unit(), "{wait:?}");
    h.pass(per + h.unit()).await;
    let got = h.take(9).jobs().await;
    assert_eq!(counts(&got), BTreeMap::from([("a", 1), ("b", 1)]));
}

/// Jobs in lines and jobs without share a claim, however small it is.
pub async fn lines_and_lanes_share_a_claim(h: &Harness) {
    h.enqueue(&line_of("a", 60)).await;
    h.enqueue(&jobs(60)).await;
    let got = h.take(10).jobs().await;
    assert_eq!(counts(&got), BTreeMap::from([("", 5), ("a", 5)]));
    let mut alone = Vec::new();
    for _ in 0..40 {
        alone.extend(h.take(1).jobs().await);
    }
    let alone = counts(&alone);
    assert!(alone.get("").is_some_and(|n| *n >= 4) && alone.get("a").is_some_and(|n| *n >= 4), "{alone:?}");
    assert_eq!(h.take(100).jobs().await.len(), 70, "what the one does not use goes to the other");
}

/// The same for the slots of a limit that both are under, though they get free one by one.
pub async fn lines_and_lanes_share_a_limit(h: &Harness) {
    let declared =
        Declared { limits: vec![(LimitName::of_queue(&QUEUE), Some(concurrency(1)))], kinds: vec![] };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    h.enqueue(&line_of("a", 100)).await;
    h.enqueue(&jobs(100)).await;
    let mut all = Vec::new();
    for _ in 0..60 {
        let got = h.take(20).ahead(3).jobs().await;
        assert_eq!(got.len(), 1);
        assert!(h.take(20).jobs().await.is_empty(), "the limit is full");
        h.apply(got[0].hold, Verdict::Complete).await;
        all.extend(got);
    }
    let all = counts(&all);
    assert!(all.get("").is_some_and(|n| *n >= 12) && all.get("a").is_some_and(|n| *n >= 12), "{all:?}");
}

/// The limits of a kind bind its lines, and a kind that is paused or not asked for holds up nobody.
pub async fn limits_bind_lines(h: &Harness) {
    let other = |key: &str| changed(key, |j| j.kind = OTHER_KIND);
    let stripe = LimitName::new("stripe").expect("valid");
    let kinds = vec![KindLimits { limits: vec![stripe.clone()], ..KindLimits::none(KIND) }];
    let declared = Declared { limits: vec![(stripe, Some(concurrency(2)))], kinds };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    h.enqueue(&line_of("a", 5)).await;
    h.enqueue(&[other("x"), other("y"), other("z")]).await;
    let got = h.take(3).jobs().await;
    assert_eq!(got.len(), 3);
    let rest = h.take(9).jobs().await;
    let all = [got, rest].concat();
    assert_eq!(counts(&all), BTreeMap::from([("a", 2), ("x", 1), ("y", 1), ("z", 1)]));
    h.apply(all.iter().find(|j| key_of(j) == "a").expect("one of a").hold, Verdict::Complete).await;
    h.enqueue(&[other("x")]).await;
    assert_eq!(keys(&h.take(9).kinds(&[OTHER_KIND]).jobs().await), "x");
    h.backend.pause_kind(&QUEUE, &KIND).await.expect("pause works");
    assert!(h.take(9).jobs().await.is_empty());
    h.backend.resume_kind(&QUEUE, &KIND).await.expect("resume works");
    assert_eq!(keys(&h.take(9).jobs().await), "a");
}

/// A limit that lets few of them go changes nothing about whose turn it is, and is used as far as it goes.
pub async fn turns_go_round_under_a_limit(h: &Harness) {
    let stripe = LimitName::new("stripe").expect("valid");
    let kinds = vec![KindLimits { limits: vec![stripe.clone()], ..KindLimits::none(KIND) }];
    let declared = Declared { limits: vec![(stripe, Some(concurrency(2)))], kinds };
    h.backend.declare(&QUEUE, &declared).await.expect("declare works");
    h.enqueue(&line_of("a", 8)).await;
    h.enqueue(&line_of("b", 4)).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        let got = h.take(9).jobs().await;
        let mut given: Vec<_> = got.iter().map(|job| key_of(job).to_owned()).collect();
        given.sort_unstable();
        order.push(given.join(""));
        for job in got {
            h.apply(job.hold, Verdict::Complete).await;
        }
    }
    assert_eq!(order, ["ab", "ab", "ab", "ab", "aa", "aa"]);
}

/// A claim that is repeated gives the same jobs, and takes nothing more of their lines.
pub async fn a_repeated_claim_takes_no_second_turn(h: &Harness) {
    declare(h, concurrency(1), false).await;
    h.enqueue(&line_of("a", 3)).await;
    h.enqueue(&line_of("b", 3)).await;
    let claim = h.take(1);
    let first = claim.jobs().await;
    assert_eq!(claim.jobs().await, first);
    let second = h.take(9).jobs().await;
    assert_eq!(second.len(), 1);
    assert_ne!(key_of(&first[0]), key_of(&second[0]));
    h.settle(first[0].hold, Verdict::Complete).await;
    h.settle(first[0].hold, Verdict::Complete).await;
    assert_eq!(h.take(9).jobs().await.len(), 1, "one verdict, one job");
}

/// However it becomes ready, a job with a line goes into it, and people see it as ready there.
pub async fn every_way_leads_into_the_line(h: &Harness) {
    declare(h, concurrency(1), false).await;
    let blocker = in_line("a");
    h.enqueue_one(&blocker).await;
    let held = h.take(1).jobs().await;
    let soon = changed("a", |j| j.when = When::After(h.units(2)));
    let late = changed("a", |j| j.when = When::After(LONG));
    let dead = in_line("b");
    h.enqueue(&[soon.clone(), late.clone(), dead.clone()]).await;
    let buried = h.take(1).jobs().await;
    assert_eq!(buried[0].hold.job, dead.id);
    h.apply(buried[0].hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    h.enqueue_one(&in_line("b")).await;
    let of_b = h.take(1).jobs().await;
    h.pass(h.units(2)).await;
    h.promote(1).await;
    assert!(h.backend.run_now(late.id).await.expect("run now works"));
    assert_eq!(h.backend.replay(&[dead.id]).await.expect("replay works"), [true]);
    assert!(h.take(9).jobs().await.is_empty(), "all of them wait in their lines");
    for id in [soon.id, late.id, dead.id] {
        assert_eq!(h.record(id).await.state, JobState::Ready);
    }
    let mut waiting = h.ids(JobState::Ready).await;
    waiting.sort_unstable();
    let mut wanted = [soon.id, late.id, dead.id];
    wanted.sort_unstable();
    assert_eq!((waiting.as_slice(), h.stats().await.ready), (wanted.as_slice(), 3));
    assert!(h.stats().await.oldest_ready.is_some());
    assert_eq!(h.backend.gauges(&QUEUE, 100).await.expect("gauges work").ready, 3);
    h.backend.cancel(soon.id).await.expect("cancel works");
    assert!(h.find(soon.id).await.is_none());
    h.apply(held[0].hold, Verdict::Complete).await;
    h.apply(of_b[0].hold, Verdict::Complete).await;
    let mut got: Vec<_> = h.take(9).jobs().await.iter().map(|j| j.hold.job).collect();
    got.sort_unstable();
    let mut wanted = [late.id, dead.id];
    wanted.sort_unstable();
    assert_eq!(got, wanted);
}

/// A thousand lines with a job each are served as quickly as they are claimed, and leave nothing behind.
pub async fn many_lines_are_served(h: &Harness) {
    declare(h, concurrency(1), false).await;
    let new: Vec<NewJob> = (0..1_000).map(|n| in_line(&format!("key {n}"))).collect();
    h.enqueue(&new).await;
    let mut order = Vec::new();
    while order.len() < 1_000 {
        let got = h.take(100).jobs().await;
        assert_eq!(got.len(), 100);
        let done: Vec<_> = got.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
        h.settle_all(&done).await;
        order.extend(got.iter().map(|j| j.hold.job));
    }
    order.sort_unstable();
    let mut wanted: Vec<_> = new.iter().map(|j| j.id).collect();
    wanted.sort_unstable();
    assert_eq!(order, wanted);
    assert!(h.backend.lines(&QUEUE, None, 10).await.expect("lines work").is_empty());
}

/// Lines are shown page by page.
pub async fn lines_are_shown_page_by_page(h: &Harness) {
    let new: Vec<NewJob> = (0..25).map(|n| in_line(&format!("{n:02}"))).collect();
    h.enqueue(&new).await;
    h.enqueue_one(&changed("00", |j| j.kind = OTHER_KIND)).await;
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|(kind, key): &(job_core::Kind, String)| (kind, key.as_str()));
        let page = h.backend.lines(&QUEUE, after, 10).await.expect("lines work");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        seen.extend(page.into_iter().map(|l| (l.kind, l.key)));
    }
    assert_eq!(seen.len(), 26);
    assert!(seen.windows(2).all(|w| w[0] < w[1]), "{seen:?}");
}

/// A suspect of an ordered line is told as one.
pub async fn a_suspect_of_a_line_runs_alone(h: &Harness) {
    h.enqueue(&line_of("a", 4)).await;
    assert_eq!(h.crash(h.take(2)).await, 2);
    let got = h.take(9).jobs().await;
    assert_eq!(got.len(), 2, "those that were near no crash");
    let got = h.take(9).suspects(9).jobs().await;
    assert_eq!(got.iter().map(|j| j.suspicion).collect::<Vec<_>>(), [Suspicion::Suspect; 2]);
    assert_eq!(h.record(got[0].hold.job).await.crashes, 0, "most are innocent");
    assert_ne!(got[0].hold.lease, got[1].hold.lease);
    assert!(one_by_one(h).await.is_empty());
}

/// What is declared anew holds for lines that stood still under what was declared before.
pub async fn lines_hear_of_a_new_declaration(h: &Harness) {
    declare(h, concurrency(1), false).await;
    h.enqueue(&line_of("a", 6)).await;
    h.enqueue(&line_of("b", 2)).await;
    assert_eq!(h.take(9).jobs().await.len(), 2);
    assert!(h.take(9).jobs().await.is_empty());
    declare(h, concurrency(3), false).await;
    h.pass(h.units(21)).await;
    assert_eq!(counts(&h.take(9).jobs().await), BTreeMap::from([("a", 2), ("b", 1)]));
    assert!(h.take(9).jobs().await.is_empty());
    declare(h, LimitRule::default(), false).await;
    h.pass(h.units(21)).await;
    assert_eq!(h.take(9).jobs().await.len(), 3, "no line is limited any more");
}

/// A job that is cancelled leaves its line, from whatever place.
pub async fn what_is_cancelled_waits_no_more(h: &Harness) {
    let new = line_of("a", 4);
    h.enqueue(&new).await;
    for cancelled in [&new[0], &new[2]] {
        h.backend.cancel(cancelled.id).await.expect("cancel works");
    }
    let lines = h.backend.lines(&QUEUE, None, 9).await.expect("lines work");
    assert_eq!(lines.iter().map(|l| (l.key.as_str(), l.waiting)).collect::<Vec<_>>(), [("a", 2)]);
    let got: Vec<_> = h.take(9).jobs().await.iter().map(|j| j.hold.job).collect();
    assert_eq!(got, [new[1].id, new[3].id]);
}
