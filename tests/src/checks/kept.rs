//! Completed jobs that are kept.

use crate::{Harness, QUEUE, job, jobs, report};
use job_core::{
    Cancelled, Hold, JobId, JobState, Kept, NewJob, NoteEdit, Settled, Settlement, UniqueKey, Verdict,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn keep(period: Duration, result: Option<&str>) -> Verdict {
    Verdict::Keep(Box::new(Kept { period, result: result.map(|r| r.as_bytes().to_vec().into()) }))
}

async fn run(h: &Harness, new: &NewJob) -> Hold {
    h.enqueue_one(new).await;
    h.take(1).jobs().await.remove(0).hold
}

/// Everything about it can be looked at, and its notes.
pub async fn a_kept_job_is_shown_with_its_result(h: &Harness) {
    let mut new = job();
    new.payload = "[1]".into();
    new.headers.insert("trace".into(), "é".into());
    let first = run(h, &new).await;
    h.apply(first, Verdict::Retry { after: Duration::ZERO, error: report("once") }).await;
    let before = h.record(new.id).await;
    let hold = h
        .until("the retry", || async {
            h.maintain().await;
            Some(h.take(1).jobs().await.pop()?.hold)
        })
        .await;
    let edit = [NoteEdit::set("progress", "{}")];
    h.backend.save(&QUEUE, &hold, &edit).await.expect("save works");
    h.apply(hold, keep(HOUR, Some(r#"{"pages":7}"#))).await;
    let shown = h.record(new.id).await;
    assert_eq!((shown.state, shown.attempt, shown.claims), (JobState::Completed, 2, 2));
    assert_eq!((&shown.payload, &shown.headers), (&new.payload, &new.headers));
    assert_eq!(shown.result().map(|r| &r[..]), Some(&br#"{"pages":7}"#[..]));
    assert_eq!(shown.notes.len(), 2, "{:?}", shown.notes);
    assert_eq!(shown.errors, before.errors);
    assert!(shown.completed_at >= Some(before.enqueued_at), "{shown:?}");
    assert_eq!((shown.run_at, shown.died_at, shown.dead_reason), (None, None, None));

    let plain = job();
    let hold = run(h, &plain).await;
    h.apply(hold, keep(HOUR, None)).await;
    let shown = h.record(plain.id).await;
    assert_eq!((shown.state, shown.result(), shown.attempt), (JobState::Completed, None, 1));
}

/// And so do its notes; others stay.
pub async fn a_kept_job_goes_when_its_time_is_over(h: &Harness) {
    let (short, long) = (job(), job());
    for (new, period) in [(&short, h.units(2)), (&long, HOUR)] {
        let hold = run(h, new).await;
        h.apply(hold, keep(period, Some("1"))).await;
    }
    assert!(h.find(short.id).await.is_some(), "its time is not over");
    h.pass(h.units(3)).await;
    h.until("the job to be forgotten", || async {
        h.maintain().await;
        h.find(short.id).await.is_none().then_some(())
    })
    .await;
    assert!(h.find(long.id).await.is_some());
    assert!(!h.enqueue_one(&short).await.deduplicated);
    assert!(h.take(1).jobs().await.is_empty(), "a repeated enqueue revives nothing");
}

/// For the next job with it.
pub async fn a_kept_job_frees_its_unique_key(h: &Harness) {
    let mut new = job();
    new.unique = Some(UniqueKey { scope: "s".into(), key: "u".into() });
    let hold = run(h, &new).await;
    h.apply(hold, keep(HOUR, None)).await;
    let mut again = new.clone();
    again.id = JobId::new();
    assert!(!h.enqueue_one(&again).await.deduplicated, "only live jobs hold a unique key");
    let hold = h.take(1).jobs().await.remove(0).hold;
    assert_eq!(hold.job, again.id);
    h.apply(hold, keep(HOUR, None)).await;
}

/// It is not dead, and it does not run again.
pub async fn a_kept_job_has_ended(h: &Harness) {
    let new = job();
    let hold = run(h, &new).await;
    h.apply(hold, keep(HOUR, None)).await;
    let ids = [new.id];
    assert_eq!(h.backend.replay(&ids).await.expect("replay works"), [false]);
    assert_eq!(h.backend.discard(&ids).await.expect("discard works"), [false]);
    assert_eq!(h.backend.cancel(new.id).await.expect("cancel works"), Cancelled::NotFound);
    assert!(!h.backend.run_now(new.id).await.expect("run_now works"));
    h.maintain().await;
    assert!(h.take(1).jobs().await.is_empty());
    assert_eq!(h.record(new.id).await.state, JobState::Completed);
}

/// Apart from all others.
pub async fn kept_jobs_are_listed_and_counted(h: &Harness) {
    let news = jobs(3);
    for new in &news {
        let hold = run(h, new).await;
        h.apply(hold, keep(HOUR, None)).await;
    }
    let hold = run(h, &job()).await;
    h.apply(hold, Verdict::Complete).await;
    let mut listed = h.ids(JobState::Completed).await;
    listed.sort_unstable();
    let mut wanted: Vec<_> = news.iter().map(|j| j.id).collect();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    let stats = h.stats().await;
    assert_eq!((stats.completed, stats.ready, stats.running, stats.dead), (3, 0, 0, 0));
}

/// And changes nothing, in the same batch or later.
pub async fn a_repeated_keep_is_already_applied(h: &Harness) {
    let (new, other) = (job(), job());
    let hold = run(h, &new).await;
    let second = run(h, &other).await;
    let batch = [
        Settlement::new(hold, keep(HOUR, Some("1"))),
        Settlement::new(hold, keep(HOUR, Some("2"))),
        Settlement::new(second, Verdict::Complete),
    ];
    assert_eq!(h.settle_all(&batch).await, [Settled::Applied, Settled::AlreadyApplied, Settled::Applied]);
    assert_eq!(h.settle(hold, keep(HOUR, Some("3"))).await, Settled::AlreadyApplied);
    assert_eq!(h.record(new.id).await.result().map(|r| &r[..]), Some(&b"1"[..]));
    assert!(h.find(other.id).await.is_none());
}

/// The job runs again.
pub async fn a_stale_keep_keeps_nothing(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let hold = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    assert_eq!(h.settle(hold, keep(HOUR, Some("1"))).await, Settled::Stale);
    assert_eq!(h.record(new.id).await.state, JobState::Ready);
}
