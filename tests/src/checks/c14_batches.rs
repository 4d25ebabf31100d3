//! C14: the end of a member counts in its batch exactly once.

use crate::{Harness, KIND, LONG, QUEUE, job, jobs, report};
use job_core::{
    BatchEvent, BatchId, BatchRecord, Cancelled, DeadReason, Hold, IdempotencyKey, JobId, JobState, Kept,
    Kind, MaintainRequest, NewJob, OnConflict, QueueName, Settled, Settlement, UniqueKey, Verdict, When,
};
use std::time::Duration;

const NEXT: Kind = Kind::from_static("conformance-next");
const MOURN: Kind = Kind::from_static("conformance-mourn");

/// A batch of these jobs: what waits for its end, what waits for a death, and its members.
struct Batch {
    id: BatchId,
    next: NewJob,
    mourner: NewJob,
    members: Vec<NewJob>,
}

fn member(batch: BatchId, mut job: NewJob) -> NewJob {
    job.headers.insert(NewJob::BATCH_HEADER.to_owned(), batch.to_string());
    job
}

impl Batch {
    fn of(members: Vec<NewJob>) -> Self {
        let id = BatchId::new();
        let members: Vec<_> = members.into_iter().map(|j| member(id, j)).collect();
        let wait = |kind: Kind, event| {
            let members = u32::try_from(members.len()).expect("few");
            let mut job = NewJob::new(kind, QUEUE, "{}");
            job.when = When::Batch { batch: id, members, event };
            job
        };
        let (next, mourner) = (wait(NEXT, BatchEvent::Complete), wait(MOURN, BatchEvent::Death));
        Self { id, next, mourner, members }
    }

    async fn enqueue(&self, h: &Harness) {
        let mut all = vec![self.next.clone(), self.mourner.clone()];
        all.extend(self.members.iter().cloned());
        let answers = h.backend.enqueue(&all).await.expect("enqueue works");
        assert!(answers.iter().take(2).all(|a| !a.deduplicated));
    }

    async fn record(&self, h: &Harness) -> BatchRecord {
        h.backend.batch(self.id).await.expect("batch works").expect("the batch is known")
    }
}

async fn take(h: &Harness, kinds: &[Kind], n: u32) -> Vec<Hold> {
    h.take(n).kinds(kinds).jobs().await.into_iter().map(|j| j.hold).collect()
}

/// What is ready of a kind, after a few rounds of maintenance.
async fn after_rounds(h: &Harness, kind: &Kind) -> Vec<Hold> {
    for _ in 0..3 {
        h.maintain().await;
    }
    take(h, std::slice::from_ref(kind), 10).await
}

/// Maintains until a job of this kind can run.
async fn comes(h: &Harness, kind: &Kind) -> Hold {
    h.until("a job that can run", || async {
        h.maintain().await;
        take(h, std::slice::from_ref(kind), 1).await.pop()
    })
    .await
}

/// Not before.
pub async fn the_last_end_lets_the_next_job_run(h: &Harness) {
    let batch = Batch::of(jobs(3));
    batch.enqueue(h).await;
    assert_eq!(h.record(batch.next.id).await.state, JobState::Scheduled);
    let holds = take(h, &[KIND], 3).await;
    assert_eq!(holds.len(), 3);
    for (n, hold) in holds.into_iter().enumerate() {
        assert_eq!(after_rounds(h, &NEXT).await, [], "{n} of 3 have ended");
        h.apply(hold, Verdict::Complete).await;
    }
    let next = comes(h, &NEXT).await;
    assert_eq!(next.job, batch.next.id);
    h.apply(next, Verdict::Complete).await;
    assert_eq!(after_rounds(h, &NEXT).await, [], "only once");
    let record = batch.record(h).await;
    assert_eq!((record.members, record.ended, record.deaths), (3, 3, 0));
    assert_eq!((record.on_complete, record.on_death), (Some(batch.next.id), Some(batch.mourner.id)));
    assert!(record.is_complete());
}

/// Completed, completed and kept, cancelled by its handler, while it waits, and while it runs, discarded, reaped after a cancel.
pub async fn every_kind_of_end_counts(h: &Harness) {
    let batch = Batch::of(jobs(7));
    batch.enqueue(h).await;
    let ids: Vec<JobId> = batch.members.iter().map(|j| j.id).collect();
    let cancel = async |id| h.backend.cancel(id).await.expect("cancel works");
    assert_eq!(cancel(ids[6]).await, Cancelled::Now);
    let reaped = h.take(1).kinds(&[KIND]).lease_for(h.units(2)).jobs().await.remove(0).hold;
    assert_eq!(cancel(reaped.job).await, Cancelled::Asked);
    h.pass(h.units(3)).await;
    h.reap(1).await;
    let holds = take(h, &[KIND], 10).await;
    assert_eq!(holds.len(), 5);
    h.apply(holds[0], Verdict::Complete).await;
    let kept = Kept { period: LONG, result: None };
    h.apply(holds[1], Verdict::Keep(Box::new(kept))).await;
    h.apply(holds[2], Verdict::Cancel).await;
    assert_eq!(cancel(holds[3].job).await, Cancelled::Asked);
    h.apply(holds[3], Verdict::Release).await;
    h.apply(holds[4], Verdict::Dead { reason: DeadReason::Permanent, error: report("no") }).await;
    assert_eq!(after_rounds(h, &NEXT).await, [], "the dead one has not ended");
    assert_eq!(batch.record(h).await.ended, 6);
    assert_eq!(h.backend.discard(&[holds[4].job]).await.expect("discard works"), [true]);
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    assert_eq!(batch.record(h).await.ended, 7);
}

/// Once, whoever dies how and how often.
pub async fn the_first_death_is_told(h: &Harness) {
    let mut poor = job();
    poor.max_attempts = 1;
    let batch = Batch::of(vec![poor, job(), job()]);
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 3).await;
    assert_eq!(after_rounds(h, &MOURN).await, []);
    let poor = *holds.iter().find(|hold| hold.job == batch.members[0].id).expect("it was taken");
    h.apply(poor, Verdict::Retry { after: Duration::ZERO, error: report("no attempt is left") }).await;
    let mourner = comes(h, &MOURN).await;
    assert_eq!(mourner.job, batch.mourner.id);
    h.apply(mourner, Verdict::Complete).await;
    for hold in holds.into_iter().filter(|hold| hold.job != poor.job) {
        h.apply(hold, Verdict::Dead { reason: DeadReason::Permanent, error: report("no") }).await;
    }
    assert_eq!(after_rounds(h, &MOURN).await, [], "only once");
    let record = batch.record(h).await;
    assert_eq!((record.ended, record.deaths), (0, 3));
}

/// It is told once; when it fails it waits like any other job.
pub async fn what_follows_a_death_keeps_its_delay(h: &Harness) {
    let batch = Batch::of(jobs(3));
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 3).await;
    let dead = || Verdict::Dead { reason: DeadReason::Permanent, error: report("no") };
    h.apply(holds[0], dead()).await;
    let mourner = comes(h, &MOURN).await;
    h.apply(mourner, Verdict::Retry { after: LONG, error: report("not now") }).await;
    h.apply(holds[1], dead()).await;
    h.apply(holds[2], Verdict::Complete).await;
    assert_eq!(after_rounds(h, &MOURN).await, []);
    assert_eq!(h.record(batch.mourner.id).await.state, JobState::Retrying);
    assert_eq!(batch.record(h).await.deaths, 2);
}

/// What waits for a death does not wait for ever.
pub async fn a_batch_without_a_death_drops_its_mourner(h: &Harness) {
    let batch = Batch::of(jobs(1));
    batch.enqueue(h).await;
    h.apply(take(h, &[KIND], 1).await[0], Verdict::Complete).await;
    comes(h, &NEXT).await;
    h.until("the other to be dropped", || async {
        h.maintain().await;
        h.find(batch.mourner.id).await.is_none().then_some(())
    })
    .await;
}

/// Until it is replayed and completes.
pub async fn a_dead_member_holds_the_batch_up(h: &Harness) {
    let batch = Batch::of(jobs(2));
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 2).await;
    h.apply(holds[0], Verdict::Dead { reason: DeadReason::Permanent, error: report("no") }).await;
    h.apply(holds[1], Verdict::Complete).await;
    assert_eq!(after_rounds(h, &NEXT).await, []);
    assert_eq!(h.backend.replay(&[holds[0].job]).await.expect("replay works"), [true]);
    assert_eq!(after_rounds(h, &NEXT).await, [], "it is only ready");
    let again = take(h, &[KIND], 1).await[0];
    h.apply(again, Verdict::Dead { reason: DeadReason::Permanent, error: report("no") }).await;
    assert_eq!(after_rounds(h, &NEXT).await, []);
    assert_eq!(batch.record(h).await.deaths, 1, "it is one member, however often it dies");
    assert_eq!(h.backend.replay(&[again.job]).await.expect("replay works"), [true]);
    h.apply(take(h, &[KIND], 1).await[0], Verdict::Complete).await;
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    let record = batch.record(h).await;
    assert_eq!((record.ended, record.deaths), (2, 1));
}

/// It will never end otherwise.
pub async fn a_job_that_another_stands_for_has_ended(h: &Harness) {
    let keyed = || {
        let mut job = job();
        let window = Duration::from_secs(600);
        job.idempotency = Some(IdempotencyKey { scope: "s".into(), key: "a".into(), window });
        job
    };
    h.enqueue_one(&keyed()).await;
    h.apply(take(h, &[KIND], 1).await[0], Verdict::Complete).await;
    let batch = Batch::of(vec![keyed(), job()]);
    batch.enqueue(h).await;
    // A repetition counts nothing.
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 10).await;
    assert_eq!(holds.iter().map(|hold| hold.job).collect::<Vec<_>>(), [batch.members[1].id]);
    assert_eq!(after_rounds(h, &NEXT).await, []);
    h.apply(holds[0], Verdict::Complete).await;
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    assert_eq!(batch.record(h).await.ended, 2);
}

/// Whoever settles or maintains which.
pub async fn members_may_be_in_any_queue(h: &Harness) {
    let names: Vec<QueueName> =
        ["batch-a", "batch-b"].iter().map(|n| QueueName::new(n).expect("a good name")).collect();
    // A queue that is maintained once and never again keeps nobody from counting.
    h.maintain().await;
    let members = names.iter().map(|name| NewJob::new(KIND, name.clone(), "{}")).collect();
    let batch = Batch::of(members);
    batch.enqueue(h).await;
    for name in &names {
        let hold = h.take(1).queue(name).jobs().await.remove(0).hold;
        let verdict = [Settlement::new(hold, Verdict::Complete)];
        assert_eq!(h.backend.settle(name, &verdict).await.expect("settle works"), [Settled::Applied]);
    }
    let next = h
        .until("the job that waits for both", || async {
            for name in &names {
                h.backend.maintain(name, &MaintainRequest::default()).await.expect("maintain works");
            }
            take(h, &[NEXT], 1).await.pop()
        })
        .await;
    assert_eq!(next.job, batch.next.id);
}

/// However often word of it comes.
pub async fn a_repeated_verdict_counts_once(h: &Harness) {
    let batch = Batch::of(jobs(2));
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 2).await;
    h.apply(holds[0], Verdict::Complete).await;
    h.maintain().await;
    assert_eq!(h.settle(holds[0], Verdict::Complete).await, Settled::AlreadyApplied);
    assert_eq!(after_rounds(h, &NEXT).await, []);
    assert_eq!(batch.record(h).await.ended, 1);
}

/// Members and what waits for them come with a verdict, like any other jobs.
pub async fn a_batch_may_follow_a_job(h: &Harness) {
    let first = job();
    h.enqueue_one(&first).await;
    let hold = take(h, &[KIND], 1).await[0];
    let batch = Batch::of(jobs(2));
    let mut follow_ups = vec![batch.next.clone(), batch.mourner.clone()];
    follow_ups.extend(batch.members.iter().cloned());
    let settlement = Settlement { hold, verdict: Verdict::Complete, follow_ups };
    assert_eq!(h.settle_all(std::slice::from_ref(&settlement)).await, [Settled::Applied]);
    assert_eq!(h.settle_all(&[settlement]).await, [Settled::AlreadyApplied]);
    let mut ended = 0;
    while ended < 2 {
        let hold = comes(h, &KIND).await;
        assert_eq!(after_rounds(h, &NEXT).await, [], "{ended} of 2 have ended");
        h.apply(hold, Verdict::Complete).await;
        ended += 1;
    }
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    assert_eq!(batch.record(h).await.ended, 2);
}

/// A job whose place another one takes has ended, and one that waits for another job is not run before its time.
pub async fn what_is_replaced_has_ended(h: &Harness) {
    let keyed = |n: u8| {
        let mut job = job();
        job.payload = vec![n].into();
        job.unique = Some(UniqueKey { scope: "s".into(), key: "u".into() });
        job.on_conflict = OnConflict::Latest;
        job
    };
    let batch = Batch::of(vec![keyed(1), job()]);
    batch.enqueue(h).await;
    let newer = keyed(2);
    assert_eq!(h.enqueue_one(&newer).await.replaced, Some(batch.members[0].id));
    let holds = take(h, &[KIND], 10).await;
    let other = *holds.iter().find(|hold| hold.job == batch.members[1].id).expect("it is ready");
    h.apply(other, Verdict::Complete).await;
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    let running = *holds.iter().find(|hold| hold.job == newer.id).expect("it is ready");
    let behind = keyed(3);
    h.enqueue_one(&behind).await;
    assert!(!h.backend.run_now(behind.id).await.expect("run_now works"), "two would run with one key");
    h.apply(running, Verdict::Complete).await;
    assert_eq!(comes(h, &KIND).await.job, behind.id);
}

/// Neither does what comes back.
pub async fn a_lost_lease_counts_nothing(h: &Harness) {
    let batch = Batch::of(jobs(1));
    batch.enqueue(h).await;
    let lost = h.take(1).kinds(&[KIND]).lease_for(h.units(2)).jobs().await.remove(0).hold;
    h.pass(h.units(3)).await;
    h.reap(1).await;
    assert_eq!(h.settle(lost, Verdict::Complete).await, Settled::Stale);
    let again = h.take(0).kinds(&[KIND]).suspects(1).jobs().await.remove(0).hold;
    h.apply(again, Verdict::Retry { after: Duration::ZERO, error: report("again") }).await;
    assert_eq!(after_rounds(h, &NEXT).await, []);
    assert_eq!((batch.record(h).await.ended, batch.record(h).await.deaths), (0, 0));
}

/// However the ends fall together.
pub async fn eight_threads_end_a_batch_once(h: &Harness) {
    let batch = Batch::of(jobs(64));
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 64).await;
    h.on_threads(8, move |backend, thread| {
        let mine: Vec<Hold> = holds.iter().copied().skip(thread).step_by(8).collect();
        async move {
            for hold in mine {
                let verdict = [Settlement::new(hold, Verdict::Complete)];
                let answer = backend.settle(&QUEUE, &verdict).await.expect("settle works");
                assert_eq!(answer, [Settled::Applied]);
                backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
            }
        }
    })
    .await;
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    assert_eq!(after_rounds(h, &NEXT).await, []);
    assert_eq!(batch.record(h).await.ended, 64);
}

/// In about as many rounds of maintenance as it has pages.
pub async fn a_large_batch_ends(h: &Harness) {
    let batch = Batch::of(jobs(900));
    batch.enqueue(h).await;
    let holds = take(h, &[KIND], 900).await;
    let settlements: Vec<_> = holds.iter().map(|hold| Settlement::new(*hold, Verdict::Complete)).collect();
    assert!(h.settle_all(&settlements).await.iter().all(|s| *s == Settled::Applied));
    assert_eq!(comes(h, &NEXT).await.job, batch.next.id);
    assert_eq!(batch.record(h).await.ended, 900);
}

/// A header that names a batch which nobody waits for, or none at all, harms nobody.
pub async fn an_unknown_batch_is_unknown(h: &Harness) {
    let id = BatchId::new();
    assert_eq!(h.backend.batch(id).await.expect("batch works"), None);
    let mut odd = job();
    odd.headers.insert(NewJob::BATCH_HEADER.to_owned(), "no id".to_owned());
    for new in [member(id, job()), odd] {
        h.enqueue_one(&new).await;
        h.apply(take(h, &[KIND], 1).await[0], Verdict::Complete).await;
        assert!(h.find(new.id).await.is_none());
        h.maintain().await;
    }
    assert_eq!(h.backend.batch(id).await.expect("batch works"), None);
}

/// Nobody wakes up for it.
pub async fn what_waits_for_a_batch_is_not_due(h: &Harness) {
    let batch = Batch::of(jobs(1));
    h.enqueue_one(&batch.next).await;
    assert_eq!(h.maintain().await.next_due, None);
}

/// A scheduled job, a retrying one, one that waits for a batch; others are left alone.
pub async fn a_waiting_job_is_run_at_once(h: &Harness) {
    let run = async |id| h.backend.run_now(id).await.expect("run_now works");
    let mut later = job();
    later.when = When::After(LONG);
    let failed = job();
    h.enqueue_one(&failed).await;
    let hold = take(h, &[KIND], 1).await[0];
    assert!(!run(failed.id).await, "it runs already");
    h.apply(hold, Verdict::Retry { after: LONG, error: report("no") }).await;
    h.enqueue_one(&later).await;
    let batch = Batch::of(jobs(1));
    h.enqueue_one(&batch.next).await;
    assert_eq!(after_rounds(h, &KIND).await, []);
    for id in [failed.id, later.id, batch.next.id] {
        assert!(run(id).await);
        assert!(!run(id).await, "it is ready already");
        let got = take(h, &[KIND, NEXT], 10).await;
        assert_eq!(got.iter().map(|hold| hold.job).collect::<Vec<_>>(), [id]);
        h.apply(got[0], Verdict::Complete).await;
        assert!(!run(id).await, "it is gone");
    }
}
