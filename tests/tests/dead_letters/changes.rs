//! Dead jobs that an operator changes, and effects in doubt that an operator resolves.

use crate::support::{Act, Log, QUEUE, Script, dead, runtime, until_drained};
use backend_memory::MemoryBackend;
use job_core::{
    Amendment, DeadReason, EffectCall, EffectKind, EffectResolution, Encryption, ErrorKind, JobError, JobId,
    Keyring, Note, NoteEdit, Operate, Replay, RunningRuntime, SecretKey,
};
use std::sync::Arc;

/// A mail that goes out at most once, and an attempt that ends before it can be noted: a dead job, in doubt.
async fn in_doubt() -> (RunningRuntime, Log, Log, JobId) {
    let (sent, receipts) = (Log::default(), Log::default());
    let (outside, log) = (sent.clone(), receipts.clone());
    let script = Script::new(move |_, ctx| {
        let (outside, log) = (outside.clone(), log.clone());
        async move {
            let first = ctx.fencing_token().claims == 1;
            let send = |call: EffectCall| async move {
                outside.add(call.key());
                if first {
                    std::future::pending::<()>().await;
                }
                Ok::<_, JobError>("sent now".to_owned())
            };
            log.add(ctx.effect("mail", EffectKind::AtMostOnce, send).await?);
            Ok(())
        }
    });
    let store: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
    let running = runtime(store, script).build().expect("a good runtime").start();
    let id = running.client().enqueue(Act { n: 1 }).await.expect("stored").id;
    until_drained(running.client()).await;
    let job = dead(running.client()).await.pop().expect("dead");
    assert_eq!(job.dead_reason, Some(DeadReason::EffectInDoubt));
    assert_eq!(sent.lines().len(), 1);
    (running, sent, receipts, id)
}

async fn replay(running: &RunningRuntime, id: JobId) {
    let report =
        running.client().dead_letters(QUEUE).replay(&Replay::jobs([id])).await.expect("replay works");
    assert_eq!(report.replayed, 1);
    until_drained(running.client()).await;
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_said_to_be_done_is_not_sent_again() {
    let (running, sent, receipts, id) = in_doubt().await;
    replay(&running, id).await;
    let job = dead(running.client()).await.pop().expect("a replay alone resolves nothing");
    assert_eq!(job.dead_reason, Some(DeadReason::EffectInDoubt));

    let found = EffectResolution::Done("found in the outbox".into());
    let amendment = Amendment::new().resolve_effect("mail", found);
    assert!(running.client().dead_letters(QUEUE).amend(id, &amendment).await.unwrap());
    replay(&running, id).await;
    assert!(dead(running.client()).await.is_empty());
    assert_eq!((sent.lines().len(), receipts.lines()), (1, vec!["found in the outbox".to_owned()]));
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_said_not_to_be_done_is_sent_once() {
    let (running, sent, receipts, id) = in_doubt().await;
    let amendment = Amendment::new().resolve_effect("mail", EffectResolution::NotDone);
    assert!(running.client().dead_letters(QUEUE).amend(id, &amendment).await.unwrap());
    replay(&running, id).await;
    assert!(dead(running.client()).await.is_empty());
    assert_eq!((sent.lines().len(), receipts.lines()), (2, vec!["sent now".to_owned()]));
    running.shutdown().await.unwrap();
}

/// New arguments pass the middleware of the client, here into an encrypted store.
#[tokio::test(start_paused = true)]
async fn new_arguments_reach_the_handler_through_the_middleware() {
    let keys = Keyring::new("k", SecretKey::from_hex(&"ab".repeat(32)).unwrap()).unwrap();
    let seen = Log::default();
    let log = seen.clone();
    let script = Script::new(move |n, _| {
        log.add(n.to_string());
        async move { if n == 7 { Err(JobError::permanent("no such customer")) } else { Ok(()) } }
    });
    let store: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
    let running = runtime(store, script).middleware(Encryption::new(keys).require()).build().unwrap().start();
    let id = running.client().enqueue(Act { n: 7 }).await.unwrap().id;
    until_drained(running.client()).await;
    let letters = running.client().dead_letters(QUEUE);
    assert!(letters.amend(id, &Amendment::new().payload(r#"{"n":8}"#)).await.unwrap());
    let stored = letters.get(id).await.unwrap().unwrap().payload;
    assert!(!stored.starts_with(b"{"), "it is encrypted");
    replay(&running, id).await;
    assert_eq!(seen.lines(), ["7", "8"]);
    assert!(!letters.amend(id, &Amendment::new().payload("{}")).await.unwrap(), "it is not dead any more");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_breaks_a_limit_is_refused_and_nothing_is_changed() {
    let (running, _, _, id) = in_doubt().await;
    let letters = running.client().dead_letters(QUEUE);
    let before = letters.get(id).await.unwrap().unwrap();
    let many =
        (0..=Note::PER_JOB_MAX).fold(Amendment::new(), |a, n| a.note(NoteEdit::set(n.to_string(), "x")));
    let bad = [
        Amendment::new().payload(vec![0; 256 * 1024 + 1]),
        Amendment::new().payload("{}").note(NoteEdit::set("", "x")),
        Amendment::new().payload("{}").note(NoteEdit::set("a\0b", "x")),
        Amendment::new().payload("{}").note(NoteEdit::set("x".repeat(Note::NAME_BYTES_MAX + 1), "x")),
        Amendment::new().payload("{}").note(NoteEdit::set("big", vec![0; Note::VALUE_BYTES_MAX + 1])),
        many,
    ];
    for amendment in bad {
        let error = letters.amend(id, &amendment).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert_eq!(letters.get(id).await.unwrap().unwrap(), before);
    }
    running.shutdown().await.unwrap();
}
