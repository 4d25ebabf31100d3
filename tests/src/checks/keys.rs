//! What an enqueue does whose key is taken: an error, a replacement, a place behind the job that runs.

use crate::harness::is_not_applied;
use crate::{Harness, OTHER_KIND, job};
use job_core::{
    ClaimedJob, DeadReason, Enqueued, ErrorKind, Hold, IdempotencyKey, JobState, KeyName, NewJob, NoteEdit,
    OnConflict, Priority, UniqueKey, Verdict, When,
};
use std::time::Duration;

pub(super) const LATEST: OnConflict = OnConflict::Latest;
pub(super) const REPLACE: OnConflict = OnConflict::Replace;

/// A job with this unique key, and arguments of its own.
pub(super) fn unique(key: &str, on_conflict: OnConflict) -> NewJob {
    let mut new = job();
    new.payload = format!("\"{}\"", new.id).into();
    new.unique = Some(UniqueKey { scope: "kit".into(), key: key.into() });
    new.on_conflict = on_conflict;
    new
}

fn after(delay: Duration, mut new: NewJob) -> NewJob {
    new.when = When::After(delay);
    new
}

fn retry(h: &Harness) -> Verdict {
    Verdict::Retry { after: h.unit(), error: crate::report("no") }
}

async fn take_one(h: &Harness) -> ClaimedJob {
    let mut jobs = h.take(5).jobs().await;
    assert_eq!(jobs.len(), 1, "one job can be claimed");
    jobs.remove(0)
}

/// Enqueues a job and claims it.
async fn running(h: &Harness, new: &NewJob) -> Hold {
    h.enqueue_one(new).await;
    take_one(h).await.hold
}

/// Takes the one job there is, which must be this one and as new.
async fn takes(h: &Harness, new: &NewJob) -> Hold {
    let got = take_one(h).await;
    assert_eq!((got.hold.job, got.attempt, got.hold.claims), (new.id, 1, 1));
    assert_eq!((&got.payload, got.version, got.priority), (&new.payload, new.version, new.priority));
    got.hold
}

/// An error stores nothing of its batch and says which key is held by whom.
pub async fn an_error_stores_nothing_and_names_the_holder(h: &Harness) {
    let refused = |mut new: NewJob, name| {
        new.on_conflict = OnConflict::Error;
        async move {
            let error = h.backend.enqueue(&[job(), new.clone(), job()]).await.expect_err("its key is taken");
            assert!(is_not_applied(&error) && error.kind() == ErrorKind::Rejected, "{error}");
            let taken = error.key_taken().expect("it says which").clone();
            assert_eq!((taken.job, taken.name), (new.id, name));
            (taken.key, taken.holder)
        }
    };
    let first = unique("a", OnConflict::Error);
    assert_eq!(h.enqueue_one(&first).await, Enqueued::stored(first.id));
    assert_eq!(h.enqueue_one(&first).await, Enqueued::stored(first.id), "a repeated call finds no other job");
    let again = unique("a", OnConflict::Error);
    assert_eq!(refused(again.clone(), KeyName::Unique).await, ("kit:a".into(), first.id));
    let idempotent = || {
        let mut new = job();
        let window = IdempotencyKey::DEFAULT_WINDOW;
        new.idempotency = Some(IdempotencyKey { scope: "kit".into(), key: "i".into(), window });
        new
    };
    let request = idempotent();
    h.enqueue_one(&request).await;
    assert_eq!(refused(idempotent(), KeyName::Idempotency).await, ("kit:i".into(), request.id));
    let pair = [unique("b", OnConflict::Error), unique("b", OnConflict::Error)];
    let error = h.backend.enqueue(&pair).await.expect_err("the first of the batch has the key");
    assert_eq!(error.key_taken().expect("it says which").holder, pair[0].id);
    assert_eq!(h.stats().await.ready, 2, "nothing of these batches was stored");
    h.backend.cancel(first.id).await.expect("cancel works");
    assert_eq!(h.enqueue_one(&again).await, Enqueued::stored(again.id), "the key is free now");
}

/// A job that waits is replaced, whatever it waits for; the new one begins at its beginning.
pub async fn a_waiting_job_is_replaced(h: &Harness) {
    for n in 0..3 {
        let key = format!("key {n}");
        let old = unique(&key, REPLACE);
        let old = if n == 1 { after(h.units(50), old) } else { old };
        h.enqueue_one(&old).await;
        if n == 2 {
            let hold = take_one(h).await.hold;
            let note = NoteEdit { name: "note".into(), value: Some("old".into()) };
            h.backend.save(&crate::QUEUE, &hold, &[note]).await.expect("save works");
            h.apply(hold, retry(h)).await;
        }
        let mut new = unique(&key, REPLACE);
        new.version = 7;
        new.headers.insert("trace".into(), "new".into());
        let answer = h.enqueue_one(&new).await;
        assert_eq!(answer, Enqueued::replacing(new.id, old.id), "case {n}");
        assert_eq!(h.find(old.id).await, None, "case {n}");
        let record = h.record(new.id).await;
        assert_eq!((record.state, record.attempt, record.claims), (JobState::Ready, 0, 0), "case {n}");
        assert!(record.errors.is_empty() && record.notes.is_empty(), "case {n}");
        assert_eq!(h.enqueue_one(&old).await, Enqueued::stored(old.id), "repeated, it answers as it did");
        assert_eq!(h.enqueue_one(&new).await, answer, "repeated, it answers as it did");
        let hold = takes(h, &new).await;
        h.apply(hold, Verdict::Complete).await;
        assert_eq!(h.enqueue_one(&new).await, answer, "a repeated enqueue revives nothing");
        assert!(h.take(5).jobs().await.is_empty());
        let third = unique(&key, OnConflict::Existing);
        assert_eq!(h.enqueue_one(&third).await, Enqueued::stored(third.id), "the key is free");
        h.backend.cancel(third.id).await.expect("cancel works");
    }
}

/// A ready job's place in line, and when the first of them came, stay; another priority is another line.
pub async fn a_replacement_keeps_the_place_in_line(h: &Harness) {
    let old = unique("a", REPLACE);
    let other = job();
    h.enqueue(&[old.clone(), other.clone()]).await;
    let came = h.record(old.id).await.enqueued_at;
    let new = unique("a", REPLACE);
    h.enqueue_one(&new).await;
    assert_eq!(h.record(new.id).await.enqueued_at, came);
    let order: Vec<_> = h.take(5).jobs().await.iter().map(|j| j.hold.job).collect();
    assert_eq!(order, [new.id, other.id]);

    h.enqueue(&[job(), unique("b", REPLACE)]).await;
    let mut urgent = unique("b", REPLACE);
    urgent.priority = Priority::HIGH;
    h.enqueue_one(&urgent).await;
    assert_eq!(h.take(1).jobs().await[0].hold.job, urgent.id);
}

/// A replacement has its own time.
pub async fn a_replacement_brings_its_time(h: &Harness) {
    h.enqueue_one(&unique("a", REPLACE)).await;
    let later = after(h.units(3), unique("a", REPLACE));
    h.enqueue_one(&later).await;
    assert_eq!(h.record(later.id).await.state, JobState::Scheduled);
    assert!(h.take(5).jobs().await.is_empty());
    let now = unique("a", REPLACE);
    h.enqueue_one(&now).await;
    takes(h, &now).await;
}

/// A job that runs is not replaced; neither is one of another kind.
pub async fn a_running_job_is_not_replaced(h: &Harness) {
    let old = unique("a", REPLACE);
    let hold = running(h, &old).await;
    let new = unique("a", REPLACE);
    assert_eq!(h.enqueue_one(&new).await, Enqueued::existing(old.id));
    h.apply(hold, Verdict::Complete).await;
    assert_eq!(h.enqueue_one(&new).await, Enqueued::existing(old.id), "repeated, it answers as it did");
    let mut other = unique("b", REPLACE);
    other.kind = OTHER_KIND;
    h.enqueue_one(&other).await;
    assert_eq!(h.enqueue_one(&unique("b", REPLACE)).await, Enqueued::existing(other.id));
    takes(h, &other).await;
}

/// In a batch the last one is stored.
pub async fn the_last_of_equal_keys_in_a_batch_replaces(h: &Harness) {
    let old = unique("a", REPLACE);
    h.enqueue_one(&old).await;
    let batch = [unique("a", REPLACE), unique("b", LATEST), unique("a", REPLACE), unique("b", LATEST)];
    let answers = h.enqueue(&batch).await;
    let expected = [
        Enqueued::replacing(batch[0].id, old.id),
        Enqueued::stored(batch[1].id),
        Enqueued::replacing(batch[2].id, batch[0].id),
        Enqueued::replacing(batch[3].id, batch[1].id),
    ];
    assert_eq!(answers, expected);
    assert_eq!(h.enqueue(&batch).await, expected);
    let mut ready = h.ids(JobState::Ready).await;
    ready.sort_unstable();
    let mut stored = [batch[2].id, batch[3].id];
    stored.sort_unstable();
    assert_eq!(ready, stored);
}

/// Each enqueue puts a debounced run off, but not for ever.
pub async fn a_debounced_run_is_put_off_until_max_wait(h: &Harness) {
    let new = |wait| after(wait, unique("a", OnConflict::Debounce { max_wait: h.units(10) }));
    let first = new(h.units(4));
    h.enqueue_one(&first).await;
    let came = h.record(first.id).await;
    h.pass(h.units(3)).await;
    let second = new(h.units(4));
    assert_eq!(h.enqueue_one(&second).await.replaced, Some(first.id));
    let put_off = h.record(second.id).await;
    assert!(put_off.run_at > came.run_at, "the run is put off");
    let third = new(h.units(9));
    h.enqueue_one(&third).await;
    let last = h.record(third.id).await.run_at.expect("it waits");
    let most = h.units(10).as_millis().cast_signed();
    let waited = last.duration_since(came.enqueued_at).as_millis();
    assert!((waited - most).abs() <= 2, "at most max_wait from the first: {waited} of {most} ms");
    assert_eq!(h.maintain().await.promoted, 0);
    h.pass(h.units(8)).await;
    h.promote(1).await;
    takes(h, &third).await;
}

/// The newest arguments run when the first were due.
pub async fn the_latest_keeps_the_time(h: &Harness) {
    let first = after(h.units(3), unique("a", LATEST));
    h.enqueue_one(&first).await;
    let due = h.record(first.id).await.run_at;
    let second = unique("a", LATEST);
    assert_eq!(h.enqueue_one(&second).await, Enqueued::replacing(second.id, first.id));
    assert_eq!(h.record(second.id).await.run_at, due);
    h.pass(h.units(4)).await;
    h.promote(1).await;
    let hold = takes(h, &second).await;
    h.apply(hold, Verdict::Complete).await;
}

/// While a job runs, one more waits for its end, with the newest arguments.
pub async fn the_last_change_waits_for_the_end_of_a_run(h: &Harness) {
    let dead = Verdict::Dead { reason: DeadReason::Permanent, error: crate::report("no") };
    for (n, verdict) in [Verdict::Complete, Verdict::Cancel, dead].into_iter().enumerate() {
        let key = format!("key {n}");
        let hold = running(h, &unique(&key, LATEST)).await;
        let (second, third) = (unique(&key, LATEST), unique(&key, LATEST));
        assert_eq!(h.enqueue_one(&second).await, Enqueued::stored(second.id));
        assert_eq!(h.enqueue_one(&third).await, Enqueued::replacing(third.id, second.id));
        assert_eq!(h.find(second.id).await, None);
        assert_eq!(h.record(third.id).await.state, JobState::Scheduled);
        assert_eq!(h.maintain().await.promoted, 0, "it waits for the end of the other");
        assert!(h.take(5).jobs().await.is_empty());
        h.apply(hold, verdict).await;
        h.promote(1).await;
        let hold = takes(h, &third).await;
        let fourth = unique(&key, OnConflict::Existing);
        assert_eq!(h.enqueue_one(&fourth).await, Enqueued::existing(third.id), "it has the key");
        h.apply(hold, Verdict::Complete).await;
        let fifth = unique(&key, OnConflict::Existing);
        assert_eq!(h.enqueue_one(&fifth).await, Enqueued::stored(fifth.id), "the key is free");
        h.backend.cancel(fifth.id).await.expect("cancel works");
    }
}

/// A job that comes back while a newer one waits for its end has ended.
pub async fn a_job_that_comes_back_makes_way_for_a_newer_one(h: &Harness) {
    for (n, verdict) in
        [retry(h), Verdict::Snooze { delay: h.unit() }, Verdict::Release].into_iter().enumerate()
    {
        let key = format!("key {n}");
        let old = unique(&key, LATEST);
        let hold = running(h, &old).await;
        let new = unique(&key, LATEST);
        h.enqueue_one(&new).await;
        h.apply(hold, verdict).await;
        assert_eq!(h.find(old.id).await, None);
        h.promote(1).await;
        let hold = takes(h, &new).await;
        h.apply(hold, Verdict::Complete).await;
    }
}

/// A job whose worker died runs again before the one that waits for its end.
pub async fn a_reaped_job_goes_before_the_newer_one(h: &Harness) {
    let old = unique("a", LATEST);
    h.enqueue_one(&old).await;
    let take = h.take(1).lease_for(h.units(2));
    assert_eq!(take.jobs().await.len(), 1);
    let (second, third) = (unique("a", LATEST), unique("a", LATEST));
    h.enqueue_one(&second).await;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    assert_eq!(h.enqueue_one(&third).await.replaced, Some(second.id), "the one that waits behind");
    let suspect = h.take(5).suspects(1).jobs().await;
    assert_eq!(suspect.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [old.id]);
    h.apply(suspect[0].hold, Verdict::Complete).await;
    h.promote(1).await;
    takes(h, &third).await;
}

/// A job that waits behind another one can be cancelled, and so can the one before it.
pub async fn both_of_two_jobs_with_a_key_can_be_cancelled(h: &Harness) {
    let hold = running(h, &unique("a", LATEST)).await;
    let behind = unique("a", LATEST);
    h.enqueue_one(&behind).await;
    h.backend.cancel(behind.id).await.expect("cancel works");
    assert_eq!(h.find(behind.id).await, None);
    let again = unique("a", LATEST);
    assert_eq!(h.enqueue_one(&again).await, Enqueued::stored(again.id));
    h.backend.cancel(hold.job).await.expect("cancel works");
    h.apply(hold, Verdict::Release).await;
    h.promote(1).await;
    takes(h, &again).await;
}
