//! Dead jobs that an operator changes before they are replayed.

use crate::{Harness, QUEUE, job, jobs, report};
use job_core::{
    Amendment, DeadReason, IdempotencyKey, JobId, JobState, LeaseStatus, MaintainRequest, NewJob, Note,
    NoteEdit, UniqueKey, Verdict,
};
use std::time::Duration;
use tokio::time::Instant;

/// Enqueues a job and kills it; a note is left on it.
async fn bury(h: &Harness, new: &NewJob) -> JobId {
    h.enqueue_one(new).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let edit = [NoteEdit::set("effect/mail", "started")];
    h.backend.save(&QUEUE, &hold, &edit).await.expect("save works");
    h.apply(hold, Verdict::Dead { reason: DeadReason::EffectInDoubt, error: report("in doubt") }).await;
    new.id
}

async fn amend(h: &Harness, id: JobId, amendment: &Amendment) -> bool {
    h.backend.amend(id, amendment).await.expect("amend works")
}

fn texts(notes: &[Note]) -> Vec<(&str, &[u8])> {
    notes.iter().map(|n| (n.name.as_str(), &n.value[..])).collect()
}

/// Every byte of the new arguments arrives, whatever the old ones were.
pub async fn an_amended_job_is_replayed_with_its_new_arguments(h: &Harness) {
    let all: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
    for (old, new) in [(b"{}".to_vec(), all.clone()), (all, vec![0]), (Vec::new(), Vec::new())] {
        let mut it = job();
        it.payload = old.into();
        let id = bury(h, &it).await;
        assert!(amend(h, id, &Amendment::new().payload(new.clone())).await);
        assert_eq!(h.record(id).await.payload, new);
        assert_eq!(h.backend.replay(&[id]).await.expect("replay works"), [true]);
        let got = h.take(1).jobs().await.remove(0);
        assert_eq!((got.hold.job, got.payload.to_vec(), got.attempt), (id, new, 1));
        h.apply(got.hold, Verdict::Complete).await;
    }
}

/// Only what the amendment names is changed.
pub async fn an_amendment_leaves_the_rest_alone(h: &Harness) {
    let mut new = job();
    new.version = 7;
    new.headers.insert("trace".into(), "é".into());
    let window = Duration::from_secs(60);
    new.idempotency = Some(IdempotencyKey { scope: "s".into(), key: "a".into(), window });
    new.unique = Some(UniqueKey { scope: "s".into(), key: "u".into() });
    let id = bury(h, &new).await;
    let mut before = h.record(id).await;
    assert!(amend(h, id, &Amendment::new()).await, "changing nothing is allowed");
    assert_eq!(h.record(id).await, before);
    assert!(amend(h, id, &Amendment::new().payload("new")).await);
    before.payload = "new".into();
    assert_eq!(h.record(id).await, before);
    let mut rival = new.clone();
    rival.id = job().id;
    assert!(h.enqueue_one(&rival).await.deduplicated, "the idempotency key is still that of the dead job");
    (rival.id, rival.idempotency) = (job().id, None);
    assert!(!h.enqueue_one(&rival).await.deduplicated, "a dead job holds no unique key");
    assert_eq!(h.backend.replay(&[id]).await.expect("replay works"), [false], "its key is taken");
    assert_eq!(h.record(id).await, before);
    let got = h.take(1).jobs().await.remove(0);
    h.apply(got.hold, Verdict::Complete).await;
    assert_eq!(h.backend.replay(&[id]).await.expect("replay works"), [true]);
    let got = h.take(1).jobs().await.remove(0);
    assert_eq!((got.version, &got.headers, &got.payload[..]), (7, &new.headers, &b"new"[..]));
    assert!(got.idempotency_key.is_some_and(|k| k.ends_with('a')));
}

/// Notes are written, replaced and taken away, and the replayed job reads them so.
pub async fn an_amendment_changes_notes(h: &Harness) {
    let new = job();
    let id = bury(h, &new).await;
    let binary: &[u8] = b"\0\xff\x01";
    let edits = Amendment::new()
        .note(NoteEdit::set("effect/mail", binary))
        .note(NoteEdit::set("twice", "first"))
        .note(NoteEdit::set("twice", "second"))
        .note(NoteEdit::remove("never was"));
    assert!(amend(h, id, &edits).await);
    let wanted: [(&str, &[u8]); 2] = [("effect/mail", binary), ("twice", b"second")];
    let record = h.record(id).await;
    assert_eq!(texts(&record.notes), wanted);
    assert_eq!(&record.payload[..], b"{}");
    assert!(amend(h, id, &Amendment::new().note(NoteEdit::remove("twice"))).await);
    assert_eq!(h.backend.replay(&[id]).await.expect("replay works"), [true]);
    let hold = h.take(1).jobs().await.remove(0).hold;
    let read = h.backend.notes(&QUEUE, &hold).await.expect("notes can be read").notes;
    assert_eq!(texts(&read), wanted[..1]);
}

/// A job that is not dead is left alone, and so is one that never was.
pub async fn only_a_dead_job_is_amended(h: &Harness) {
    let amendment = Amendment::new().payload("changed").note(NoteEdit::set("n", "v"));
    let new = job();
    assert!(!amend(h, new.id, &amendment).await, "it never was");
    h.enqueue_one(&new).await;
    assert!(!amend(h, new.id, &amendment).await, "it is ready");
    let hold = h.take(1).jobs().await.remove(0).hold;
    assert!(!amend(h, new.id, &amendment).await, "it runs");
    h.apply(hold, Verdict::Retry { after: h.units(50), error: report("e") }).await;
    assert!(!amend(h, new.id, &amendment).await, "it waits");
    let record = h.record(new.id).await;
    assert_eq!((record.state, &record.payload[..]), (JobState::Retrying, &b"{}"[..]));
    assert_eq!(record.notes, []);
    h.backend.cancel(new.id).await.expect("cancel works");
    let dead = bury(h, &job()).await;
    assert_eq!(h.backend.discard(&[dead]).await.expect("discard works"), [true]);
    assert!(!amend(h, dead, &amendment).await, "it is gone");
    assert_eq!(h.find(dead).await, None);
}

/// Replays and amendments of the same jobs at the same time: the job that runs has what an amendment said it had, or, if that was
/// refused, what it had before.
pub async fn an_amendment_and_a_replay_never_mix(h: &Harness) {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(bury(h, &job()).await);
    }
    let all = ids.clone();
    let answers = h
        .on_threads(2, move |backend, n| {
            let ids = all.clone();
            async move {
                let mut answers = Vec::new();
                for id in ids {
                    let amendment = Amendment::new().payload("new").note(NoteEdit::set("effect/mail", "new"));
                    answers.push(if n == 0 {
                        backend.amend(id, &amendment).await.expect("amend works")
                    } else {
                        backend.replay(&[id]).await.expect("replay works")[0]
                    });
                }
                answers
            }
        })
        .await;
    assert!(answers[1].iter().all(|replayed| *replayed), "an amendment keeps nobody from replaying");
    for (id, amended) in ids.iter().zip(&answers[0]) {
        let record = h.record(*id).await;
        let wanted: (&[u8], &[u8]) = if *amended { (b"new", b"new") } else { (b"{}", b"started") };
        assert_eq!((&record.payload[..], &record.notes[0].value[..]), wanted);
    }
}

/// Jobs that have been dead for long are removed with their notes, a bounded number in a call and the oldest first; others stay, and
/// so does everything if nobody asks.
pub async fn old_dead_jobs_are_removed(h: &Harness) {
    let old = jobs(5);
    h.enqueue(&old).await;
    let held = h.take(5).jobs().await;
    for taken in &held {
        let note = [NoteEdit::set("n", "v")];
        assert_eq!(h.backend.save(&QUEUE, &taken.hold, &note).await.expect("save works"), LeaseStatus::Held);
        h.apply(taken.hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    }
    h.pass(h.units(10)).await;
    let young = job();
    h.enqueue_one(&young).await;
    let began = Instant::now();
    let hold = h.take(1).jobs().await.remove(0).hold;
    h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    assert_eq!(h.maintain().await.dead_pruned, 0, "for ever unless asked");
    // Longer than the young one has been dead, however slow the store is, and shorter than the old ones have.
    let kept = || Some(began.elapsed() + h.units(8));
    let request = |limit| MaintainRequest { limit, dead_kept: kept(), ..MaintainRequest::default() };
    let mut removed = 0;
    for round in 0.. {
        let done = h.backend.maintain(&QUEUE, &request(2)).await.expect("maintain works");
        removed += done.dead_pruned;
        assert!(done.more || removed == 5, "{removed} removed after round {round}, and no word of more");
        if removed == 5 {
            break;
        }
    }
    let done = h.backend.maintain(&QUEUE, &request(100)).await.expect("maintain works");
    assert_eq!((done.dead_pruned, h.stats().await.dead), (0, 1), "what died just now stays");
    assert_eq!(h.record(young.id).await.state, JobState::Dead);
    for gone in &held {
        assert!(h.find(gone.hold.job).await.is_none(), "{} is gone", gone.hold.job);
        let notes = h.backend.notes(&QUEUE, &gone.hold).await.expect("notes work").notes;
        assert_eq!(notes, [], "its notes went with it");
    }
    let long = MaintainRequest { dead_kept: Some(Duration::MAX), ..MaintainRequest::default() };
    assert_eq!(h.backend.maintain(&QUEUE, &long).await.expect("maintain works").dead_pruned, 0);
}

/// A job that is replayed is not dead, and when it dies again its time begins anew.
pub async fn a_replay_begins_the_time_of_the_dead_anew(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let die = async || {
        let hold = h.take(1).jobs().await.remove(0).hold;
        h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("e") }).await;
    };
    let kept = MaintainRequest { dead_kept: Some(h.units(5)), ..MaintainRequest::default() };
    let removed = async || h.backend.maintain(&QUEUE, &kept).await.expect("maintain works").dead_pruned;
    die().await;
    h.pass(h.units(10)).await;
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    assert_eq!(removed().await, 0, "it is not dead");
    die().await;
    assert_eq!(removed().await, 0, "it has just died");
    h.pass(h.units(10)).await;
    assert_eq!((removed().await, h.find(new.id).await), (1, None));
}
