//! C11: a tick is fired at most once, by any number of processes.

use crate::{Harness, QUEUE, job};
use jiff::Timestamp;
use job_core::{
    Enqueued, FireRequest, Fired, JobId, JobState, NewJob, OnConflict, Operate, ScheduleChange, ScheduleDef,
    ScheduleEntry, ScheduleName, Schedules, UniqueKey, Verdict, When,
};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

const NAME: ScheduleName = ScheduleName::from_static("kit.schedule");
const OTHER: ScheduleName = ScheduleName::from_static("kit.other");

fn def(name: &ScheduleName, definition: &str) -> ScheduleDef {
    ScheduleDef { name: name.clone(), definition: definition.into(), job: format!("job of {definition}") }
}

async fn put(h: &Harness, definition: &str) {
    h.backend.put_schedules(&QUEUE, &[def(&NAME, definition)]).await.expect("put works");
}

async fn look(h: &Harness) -> Schedules {
    let seen = h.backend.schedules(&QUEUE).await.expect("schedules work");
    assert!(seen.entries.is_sorted_by_key(|entry| entry.def.name.clone()), "by name: {seen:?}");
    for entry in &seen.entries {
        assert!(entry.watermark <= seen.now, "C7: decided up to the future: {seen:?}");
    }
    seen
}

async fn entry(h: &Harness) -> ScheduleEntry {
    look(h).await.entries.into_iter().find(|entry| entry.def.name == NAME).expect("it is there")
}

/// Waits until a whole second has passed since the watermark, by the store's clock; that second, and the entry.
async fn due(h: &Harness) -> (ScheduleEntry, Timestamp) {
    loop {
        let seen = look(h).await;
        let entry = seen.entries.into_iter().find(|entry| entry.def.name == NAME).expect("it is there");
        let second = Timestamp::from_second(seen.now.as_second()).expect("in range");
        if second > entry.watermark {
            return (entry, second);
        }
        h.pass(h.unit()).await;
    }
}

async fn fire(h: &Harness, entry: &ScheduleEntry, to: Timestamp, jobs: &[NewJob]) -> Fired {
    fire_on(&*h.backend, entry, to, jobs).await
}

async fn fire_on(backend: &dyn Operate, entry: &ScheduleEntry, to: Timestamp, jobs: &[NewJob]) -> Fired {
    let (schedule, version, from) = (&entry.def.name, entry.version, entry.watermark);
    let request = FireRequest { schedule, version, from, to, jobs };
    backend.fire(&QUEUE, &request).await.expect("fire works")
}

fn stored(jobs: &[NewJob]) -> Fired {
    Fired::Applied(jobs.iter().map(|job| Enqueued::stored(job.id)).collect())
}

async fn ready(h: &Harness) -> Vec<JobId> {
    let mut ids = h.ids(JobState::Ready).await;
    ids.sort_unstable();
    ids
}

/// What was put is there; another schedule and another queue know nothing of it.
pub async fn what_is_put_is_there(h: &Harness) {
    let before = look(h).await;
    assert_eq!(before.entries, [], "a fresh store has none");
    let both = [def(&NAME, "a"), def(&OTHER, "b")];
    h.backend.put_schedules(&QUEUE, &both).await.expect("put works");
    let seen = look(h).await;
    let defs: Vec<_> = seen.entries.iter().map(|entry| entry.def.clone()).collect();
    assert_eq!(defs, [def(&OTHER, "b"), def(&NAME, "a")]);
    for entry in &seen.entries {
        assert!(entry.watermark >= before.now && !entry.paused, "from now on: {entry:?}");
    }
    let elsewhere = job_core::QueueName::from_static("conformance.other");
    assert_eq!(h.backend.schedules(&elsewhere).await.expect("schedules work").entries, []);
    assert!(h.backend.queues().await.expect("queues work").contains(&QUEUE));
    let gauges = h.backend.gauges(&QUEUE, 10).await.expect("gauges work");
    assert_eq!(gauges.schedules.entries, seen.entries, "alerts see them too");
}

/// A step stores its jobs and moves the watermark.
pub async fn a_tick_is_fired_with_its_jobs(h: &Harness) {
    put(h, "a").await;
    let (seen, to) = due(h).await;
    let mut jobs = [job(), job()];
    jobs[1].when = When::After(h.units(50));
    assert_eq!(fire(h, &seen, to, &jobs).await, stored(&jobs));
    assert_eq!(ready(h).await, [jobs[0].id]);
    assert_eq!(h.ids(JobState::Scheduled).await, [jobs[1].id]);
    let after = entry(h).await;
    assert_eq!((after.watermark, after.version, after.def), (to, seen.version, seen.def));
    let taken = h.take(5).jobs().await;
    assert_eq!(taken.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [jobs[0].id]);
    h.apply(taken[0].hold, Verdict::Complete).await;
}

/// A step without jobs only moves the watermark.
pub async fn a_tick_that_is_left_out_moves_the_watermark(h: &Harness) {
    put(h, "a").await;
    let (seen, to) = due(h).await;
    assert_eq!(fire(h, &seen, to, &[]).await, Fired::Applied(vec![]));
    assert_eq!(entry(h).await.watermark, to);
    assert_eq!(fire(h, &seen, to, &[]).await, Fired::Applied(vec![]), "C5: a repetition");
    assert_eq!(fire(h, &seen, to, &[job()]).await, Fired::Stale, "not with a job");
    assert_eq!(ready(h).await, []);
}

/// C5: a repetition is answered as the first call was, and stores nothing more, whatever has happened since.
pub async fn a_repeated_step_is_answered_as_before(h: &Harness) {
    put(h, "a").await;
    let (seen, to) = due(h).await;
    let jobs = [job(), job()];
    let first = fire(h, &seen, to, &jobs).await;
    assert_eq!(first, fire(h, &seen, to, &jobs).await);
    let held = h.take(5).jobs().await;
    assert_eq!(held.len(), 2);
    for taken in held {
        h.apply(taken.hold, Verdict::Complete).await;
    }
    assert_eq!(first, fire(h, &seen, to, &jobs).await, "the jobs are done");
    put(h, "b").await;
    assert_eq!(first, fire(h, &seen, to, &jobs).await, "the schedule is another one");
    assert!(h.backend.change_schedule(&QUEUE, &NAME, ScheduleChange::Remove).await.expect("remove works"));
    assert_eq!(first, fire(h, &seen, to, &jobs).await, "the schedule is gone");
    assert_eq!(ready(h).await, []);
}

/// Many schedulers fire the same ticks at once: each tick is fired once.
pub async fn many_schedulers_fire_a_tick_once(h: &Harness) {
    const SCHEDULERS: usize = 8;
    put(h, "a").await;
    for _ in 0..3 {
        let (seen, to) = due(h).await;
        let before = ready(h).await.len();
        let (seen, jobs) = (Arc::new(seen), Arc::new([job()]));
        let answers = h
            .on_threads(SCHEDULERS, move |backend, n| {
                let (seen, jobs) = (Arc::clone(&seen), Arc::clone(&jobs));
                async move {
                    // Half of them have made the same job, the others each one of its own.
                    let own = [crate::job()];
                    let mine = if n % 2 == 0 { &*jobs } else { &own };
                    matches!(fire_on(&*backend, &seen, to, mine).await, Fired::Applied(_))
                }
            })
            .await;
        assert!(answers.contains(&true), "somebody fires it");
        assert_eq!(ready(h).await.len(), before + 1, "C11: fired once; {answers:?}");
    }
}

/// A watermark that is not the one that was looked at, or one that goes back, fires nothing.
pub async fn a_stale_step_fires_nothing(h: &Harness) {
    put(h, "a").await;
    let (seen, to) = due(h).await;
    let jobs = [job()];
    assert_eq!(fire(h, &seen, to, &jobs).await, stored(&jobs));
    h.pass(h.units(2)).await;
    assert_eq!(fire(h, &seen, to, &[job()]).await, Fired::Stale);
    let (now, later) = due(h).await;
    assert_eq!(fire(h, &seen, later, &[job()]).await, Fired::Stale, "from where it no longer is");
    assert_eq!(fire(h, &now, to, &[job()]).await, Fired::Stale, "back to where it is");
    assert_eq!(fire(h, &now, seen.watermark, &[job()]).await, Fired::Stale, "back to where it was");
    let unknown = ScheduleEntry { def: def(&OTHER, "a"), ..now };
    assert_eq!(fire(h, &unknown, later, &[job()]).await, Fired::Stale, "no such schedule");
    assert_eq!(ready(h).await, [jobs[0].id]);
    assert_eq!(entry(h).await.watermark, to, "and the watermark stays");
}

/// Only the store's clock decides: a tick of its future does not fire.
pub async fn a_tick_does_not_come_early(h: &Harness) {
    put(h, "a").await;
    let seen = look(h).await;
    let in_an_hour = Timestamp::from_second(seen.now.as_second() + 3600).expect("in range");
    assert_eq!(fire(h, &seen.entries[0], in_an_hour, &[job()]).await, Fired::Early);
    let after = entry(h).await;
    assert_eq!(
        (after.watermark, ready(h).await.len()),
        (seen.entries[0].watermark, 0),
        "nothing was changed"
    );
}

/// The same definition changes nothing but the job; another one makes a version that only grows, and begins now.
pub async fn another_definition_begins_anew(h: &Harness) {
    put(h, "a").await;
    let first = entry(h).await;
    h.pass(h.units(2)).await;
    put(h, "a").await;
    assert_eq!(entry(h).await, first, "the same");
    let other_job = ScheduleDef { job: "another".into(), ..def(&NAME, "a") };
    h.backend.put_schedules(&QUEUE, std::slice::from_ref(&other_job)).await.expect("put works");
    assert_eq!(entry(h).await, ScheduleEntry { def: other_job, ..first.clone() }, "the job is replaced");
    let before = look(h).await.now;
    put(h, "b").await;
    let second = entry(h).await;
    assert_eq!(second.def, def(&NAME, "b"));
    assert!(second.version > first.version, "{first:?} and then {second:?}");
    assert!(second.watermark >= before, "nothing is made up for: {second:?}, put at {before}");
    let (_, to) = due(h).await;
    let of_old = ScheduleEntry { watermark: second.watermark, ..first };
    assert_eq!(fire(h, &of_old, to, &[job()]).await, Fired::Stale, "the old version fires nothing");
    let jobs = [job()];
    assert_eq!(fire(h, &second, to, &jobs).await, stored(&jobs));
    put(h, "a").await;
    let third = entry(h).await;
    assert!(third.version > second.version, "a version never comes again");
    assert!(h.backend.change_schedule(&QUEUE, &NAME, ScheduleChange::Remove).await.expect("remove works"));
    put(h, "a").await;
    assert!(entry(h).await.version > third.version, "nor after a removal");
}

/// Nothing fires while it is paused, and nothing of the pause is made up for.
pub async fn a_paused_schedule_fires_nothing(h: &Harness) {
    let change = async |change| h.backend.change_schedule(&QUEUE, &NAME, change).await.expect("it works");
    assert!(!change(ScheduleChange::Pause).await, "none is there");
    put(h, "a").await;
    let (seen, to) = due(h).await;
    assert!(change(ScheduleChange::Resume).await, "there, and not paused");
    assert_eq!(entry(h).await.watermark, seen.watermark, "so nothing changes");
    assert!(change(ScheduleChange::Pause).await && change(ScheduleChange::Pause).await);
    assert!(entry(h).await.paused);
    assert_eq!(fire(h, &seen, to, &[job()]).await, Fired::Stale);
    put(h, "b").await;
    assert!(entry(h).await.paused, "another definition is paused too");
    h.pass(h.units(2)).await;
    let before = look(h).await.now;
    assert!(change(ScheduleChange::Resume).await);
    let resumed = entry(h).await;
    assert!(!resumed.paused && resumed.watermark >= before, "{resumed:?}, resumed at {before}");
    assert_eq!(ready(h).await, []);
    let (now, to) = due(h).await;
    let jobs = [job()];
    assert_eq!(fire(h, &now, to, &jobs).await, stored(&jobs));
}

/// One that is removed fires nothing; one that has changed since it was seen is not removed by whoever saw it.
pub async fn a_removed_schedule_is_gone(h: &Harness) {
    let change = async |change| h.backend.change_schedule(&QUEUE, &NAME, change).await.expect("it works");
    put(h, "a").await;
    let (seen, to) = due(h).await;
    let as_seen = ScheduleChange::RemoveUnchanged { version: seen.version, watermark: seen.watermark };
    let jobs = [job()];
    assert_eq!(fire(h, &seen, to, &jobs).await, stored(&jobs));
    assert!(!change(as_seen).await, "it has fired since");
    let now = entry(h).await;
    assert!(change(ScheduleChange::RemoveUnchanged { version: now.version, watermark: now.watermark }).await);
    assert_eq!(look(h).await.entries, []);
    assert_eq!(fire(h, &now, to, &[job()]).await, Fired::Stale);
    assert!(!change(ScheduleChange::Remove).await, "it is gone");
    assert_eq!(ready(h).await, [jobs[0].id], "what it has enqueued stays");
}

/// A tick that finds a job of its schedule live does what its key says, and the watermark moves all the same.
pub async fn a_tick_meets_a_live_job(h: &Harness) {
    put(h, "a").await;
    let keyed = |on_conflict| {
        let mut job = job();
        job.unique = Some(UniqueKey { scope: "schedule".into(), key: "k".into() });
        job.on_conflict = on_conflict;
        job
    };
    let (seen, to) = due(h).await;
    let first = [keyed(OnConflict::Existing)];
    assert_eq!(fire(h, &seen, to, &first).await, stored(&first));
    let held = h.take(1).jobs().await.remove(0).hold;
    let (seen, to) = due(h).await;
    let second = [keyed(OnConflict::Existing)];
    let existing = Fired::Applied(vec![Enqueued::existing(first[0].id)]);
    assert_eq!(fire(h, &seen, to, &second).await, existing, "it runs");
    assert_eq!(fire(h, &seen, to, &second).await, existing, "C5: a repetition");
    let (seen, to) = due(h).await;
    let third = [keyed(OnConflict::Latest)];
    assert_eq!(fire(h, &seen, to, &third).await, stored(&third), "one may wait");
    assert_eq!((ready(h).await.len(), h.ids(JobState::Scheduled).await), (0, vec![third[0].id]));
    h.apply(held, Verdict::Complete).await;
    h.promote(1).await;
    assert_eq!(ready(h).await, [third[0].id]);
    assert_eq!(entry(h).await.watermark, to);
}

/// Whoever waits for work hears of a tick.
pub async fn a_wait_ends_with_a_tick(h: &Harness) {
    put(h, "a").await;
    let (seen, to) = due(h).await;
    let begun = Cell::new(false);
    let wait = async {
        // It may return for nothing before there is something.
        while !begun.get() {
            h.backend.wait(&QUEUE).await.expect("wait works");
            tokio::task::yield_now().await;
        }
    };
    let patience = h.units(20).max(Duration::from_secs(5));
    let jobs = [job()];
    let fired = async {
        tokio::task::yield_now().await;
        begun.set(true);
        assert_eq!(fire(h, &seen, to, &jobs).await, stored(&jobs));
    };
    let (woken, ()) = tokio::join!(tokio::time::timeout(patience, wait), fired);
    assert!(woken.is_ok() || !h.wakes(), "nobody was woken in {patience:?}");
}
