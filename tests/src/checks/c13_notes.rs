//! C13: notes are fenced, and live as long as their job.

use crate::{Harness, LONG, QUEUE, job, jobs, report};
use job_core::{DeadReason, Hold, JobId, LeaseId, LeaseStatus, Note, NoteEdit, Verdict};
use std::time::Duration;

async fn save(h: &Harness, hold: &Hold, edits: &[NoteEdit]) -> LeaseStatus {
    h.backend.save(&QUEUE, hold, edits).await.expect("save works")
}

async fn write(h: &Harness, hold: &Hold, name: &str, value: &str) {
    let edit = NoteEdit::set(name, value.as_bytes().to_vec());
    assert_eq!(save(h, hold, &[edit]).await, LeaseStatus::Held, "the lease is current");
}

fn texts(notes: Vec<Note>) -> Vec<(String, String)> {
    let mut texts: Vec<_> =
        notes.into_iter().map(|n| (n.name, String::from_utf8_lossy(&n.value).into_owned())).collect();
    texts.sort_unstable();
    texts
}

async fn read(h: &Harness, hold: &Hold) -> Vec<(String, String)> {
    texts(h.backend.notes(&QUEUE, hold).await.expect("notes can be read").notes)
}

async fn shown(h: &Harness, id: JobId) -> Vec<(String, String)> {
    texts(h.record(id).await.notes)
}

fn note(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What one attempt has noted the next one reads, however the first ended.
pub async fn notes_reach_the_next_attempt(h: &Harness) {
    let verdicts = [
        Verdict::Retry { after: Duration::ZERO, error: report("again") },
        Verdict::Snooze { delay: Duration::ZERO },
        Verdict::Release,
    ];
    for verdict in verdicts {
        let new = job();
        h.enqueue_one(&new).await;
        let first = h.take(1).jobs().await.remove(0).hold;
        assert_eq!(read(h, &first).await, [], "a job begins without notes");
        write(h, &first, "page", "7").await;
        h.apply(first, verdict.clone()).await;
        assert_eq!(shown(h, new.id).await, [note("page", "7")], "{verdict:?}");
        let held = h
            .until("the job to come back", || async {
                h.maintain().await;
                h.take(1).jobs().await.into_iter().next()
            })
            .await;
        assert_eq!(read(h, &held.hold).await, [note("page", "7")], "{verdict:?}");
        h.apply(held.hold, Verdict::Complete).await;
    }
}

/// A crash loses no note.
pub async fn notes_survive_a_lost_lease(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let dead = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    write(h, &dead, "page", "7").await;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    let next = h.take(0).suspects(1).jobs().await.remove(0).hold;
    assert_eq!(read(h, &next).await, [note("page", "7")]);
    write(h, &next, "page", "8").await;
    assert_eq!(shown(h, new.id).await, [note("page", "8")]);
}

/// Notes go with a job into the dead-letter queue, and out of it.
pub async fn notes_survive_death_and_replay(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let first = h.take(1).jobs().await.remove(0).hold;
    write(h, &first, "mail", "sent").await;
    h.apply(first, Verdict::Dead { reason: DeadReason::Permanent, error: report("never") }).await;
    assert_eq!(shown(h, new.id).await, [note("mail", "sent")]);
    assert_eq!(h.backend.replay(&[new.id]).await.expect("replay works"), [true]);
    let again = h.take(1).jobs().await.remove(0).hold;
    assert_eq!(read(h, &again).await, [note("mail", "sent")]);
}

/// A lease that has been ended writes nothing, neither before the next claim nor after it.
pub async fn a_lost_lease_writes_no_note(h: &Harness) {
    let new = job();
    h.enqueue_one(&new).await;
    let old = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    write(h, &old, "page", "7").await;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    let zombie = NoteEdit::set("page", "from the grave");
    assert_eq!(save(h, &old, std::slice::from_ref(&zombie)).await, LeaseStatus::Stale);
    let now = h.take(0).suspects(1).jobs().await.remove(0).hold;
    assert_eq!(save(h, &old, &[zombie, NoteEdit::set("other", "x")]).await, LeaseStatus::Stale);
    assert_eq!(save(h, &old, &[NoteEdit::remove("page")]).await, LeaseStatus::Stale);
    assert_eq!(read(h, &now).await, [note("page", "7")]);
}

/// A lease that has settled its job writes nothing more, whatever the verdict.
pub async fn a_settled_lease_writes_no_note(h: &Harness) {
    let new = jobs(2);
    h.enqueue(&new).await;
    let held = h.take(2).jobs().await;
    h.apply(held[0].hold, Verdict::Release).await;
    h.apply(held[1].hold, Verdict::Complete).await;
    for job in &held {
        let edit = NoteEdit::set("late", "x");
        assert_eq!(save(h, &job.hold, &[edit]).await, LeaseStatus::Stale);
        assert_eq!(read(h, &job.hold).await, []);
    }
}

/// An expired lease may write until it is ended, like every verdict.
pub async fn an_expired_lease_may_write_until_reaped(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    write(h, &hold, "page", "7").await;
    assert_eq!(read(h, &hold).await, [note("page", "7")]);
}

/// Parts of different rights make none.
pub async fn a_forged_hold_writes_no_note(h: &Harness) {
    let new = jobs(2);
    h.enqueue(&new).await;
    let mine = h.take(1).jobs().await.remove(0).hold;
    let other = h.take(1).jobs().await.remove(0).hold;
    let forged = [
        Hold { lease: LeaseId::random(), ..mine },
        Hold { lease: other.lease, ..mine },
        Hold { job: mine.job, ..other },
    ];
    for hold in forged {
        assert_eq!(save(h, &hold, &[NoteEdit::set("n", "x")]).await, LeaseStatus::Stale, "{hold:?}");
    }
    for id in [new[0].id, new[1].id] {
        assert_eq!(shown(h, id).await, []);
    }
}

/// A call writes all that it names and leaves the rest; repeated, it changes nothing but the time.
pub async fn one_call_writes_several_notes(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let binary = vec![0, 255, b'\'', b'\n', 0];
    let edits = [NoteEdit::set("a", "1"), NoteEdit::set("b", binary.clone()), NoteEdit::set("empty", "")];
    assert_eq!(save(h, &hold, &edits).await, LeaseStatus::Held);
    assert_eq!(save(h, &hold, &edits).await, LeaseStatus::Held, "repeated");
    let edits = [NoteEdit::remove("a"), NoteEdit::remove("never"), NoteEdit::set("c", "3")];
    assert_eq!(save(h, &hold, &edits).await, LeaseStatus::Held);
    let notes = h.backend.notes(&QUEUE, &hold).await.expect("notes can be read").notes;
    let names: Vec<_> = notes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "empty"], "by name");
    assert_eq!((&notes[0].value[..], &notes[2].value[..]), (&binary[..], &b""[..]), "byte for byte");
    let edits = ["b", "c", "empty"].map(NoteEdit::remove);
    assert_eq!(save(h, &hold, &edits).await, LeaseStatus::Held);
    assert_eq!(read(h, &hold).await, []);
}

/// A call that writes nothing says whether the lease is current, and changes nothing.
pub async fn an_empty_save_tells_who_holds_the_job(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).lease_for(h.units(2)).jobs().await.remove(0).hold;
    assert_eq!(save(h, &hold, &[]).await, LeaseStatus::Held, "before the first note");
    write(h, &hold, "page", "7").await;
    assert_eq!(save(h, &hold, &[]).await, LeaseStatus::Held);
    assert_eq!(read(h, &hold).await, [note("page", "7")]);
    h.pass(h.units(3)).await;
    h.reap(1).await;
    assert_eq!(save(h, &hold, &[]).await, LeaseStatus::Stale);
}

/// The largest value arrives.
pub async fn a_large_note_arrives(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).jobs().await.remove(0).hold;
    let value: Vec<u8> = (0..=255).cycle().take(Note::VALUE_BYTES_MAX).collect();
    let edits = [NoteEdit::set("large", value.clone()), NoteEdit::set("small", "x")];
    assert_eq!(save(h, &hold, &edits).await, LeaseStatus::Held);
    let notes = h.backend.notes(&QUEUE, &hold).await.expect("notes can be read").notes;
    assert_eq!(notes[0].value, value);
}

/// Notes of other jobs are other notes, and end with their own job.
pub async fn notes_end_with_their_job(h: &Harness) {
    let new = jobs(4);
    h.enqueue(&new).await;
    let held = h.take(4).jobs().await;
    for (n, job) in held.iter().enumerate() {
        write(h, &job.hold, "n", &n.to_string()).await;
    }
    h.apply(held[0].hold, Verdict::Complete).await;
    h.apply(held[1].hold, Verdict::Cancel).await;
    let dead = Verdict::Dead { reason: DeadReason::Permanent, error: report("never") };
    h.apply(held[2].hold, dead).await;
    assert_eq!(h.backend.discard(&[held[2].hold.job]).await.expect("discard works"), [true]);
    for job in &held[..3] {
        assert_eq!(read(h, &job.hold).await, [], "the job has ended");
    }
    assert_eq!(read(h, &held[3].hold).await, [note("n", "3")], "this one has not");
    h.apply(held[3].hold, Verdict::Release).await;
    h.backend.cancel(held[3].hold.job).await.expect("cancel works");
    assert_eq!(read(h, &held[3].hold).await, [], "cancelled while it waited");
}

/// A note says when it was written, by the store's clock.
pub async fn a_note_has_its_time(h: &Harness) {
    h.enqueue_one(&job()).await;
    let hold = h.take(1).lease_for(LONG).jobs().await.remove(0).hold;
    write(h, &hold, "first", "x").await;
    h.pass(h.units(3)).await;
    write(h, &hold, "second", "x").await;
    let read = h.backend.notes(&QUEUE, &hold).await.expect("notes can be read");
    let [first, second] = &read.notes[..] else { panic!("two notes: {read:?}") };
    let between = Duration::try_from(second.at.duration_since(first.at)).expect("in order");
    assert!(between >= h.units(3) - Duration::from_millis(1), "{between:?}");
    assert!(read.now >= second.at, "{read:?}");
}

/// A note and the end of its lease at the same moment: either the note is there, or the lease was lost before.
pub async fn a_note_and_a_reap_never_both_win(h: &Harness) {
    for round in 0..20 {
        let new = job();
        h.enqueue_one(&new).await;
        let hold = h.take(1).lease_for(h.unit() / 4).jobs().await.remove(0).hold;
        h.pass(h.unit() / 2).await;
        let answers = h
            .on_threads(2, move |store, thread| async move {
                if thread == 0 {
                    let saved = store.save(&QUEUE, &hold, &[NoteEdit::set("n", "x")]).await;
                    saved.expect("save works") == LeaseStatus::Held
                } else {
                    let done = store.maintain(&QUEUE, &job_core::MaintainRequest::default()).await;
                    done.expect("maintain works").leases_reaped > 0
                }
            })
            .await;
        if !answers[1] {
            h.reap(1).await;
        }
        let kept = !shown(h, new.id).await.is_empty();
        assert_eq!(kept, answers[0], "round {round}: what `save` answered is what is there");
        let hold = h.take(0).suspects(1).jobs().await.remove(0).hold;
        h.apply(hold, Verdict::Complete).await;
    }
}
