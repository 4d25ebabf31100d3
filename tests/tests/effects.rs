//! Effects: how often the world outside sees them when attempts end at the worst moment.

mod support;

use backend_memory::MemoryBackend;
use job_core::{
    DeadReason, EffectCall, EffectKind, ErrorKind, JobContext, JobError, JobRecord, Operate, ResultExt as _,
    Settled, Settlement, Verdict, Verified,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, Script, dead, runtime, until_drained};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const BY_KEY: EffectKind = EffectKind::IdempotentByKey { remote_ttl: DAY };

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

/// The world outside: writes down the key of every call.
#[derive(Debug, Clone, Default)]
struct Sink(Log);

impl Sink {
    fn calls(&self) -> usize {
        self.0.lines().len()
    }

    fn distinct(&self) -> usize {
        let mut keys = self.0.lines();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }

    /// The effect itself.
    fn send(&self, call: &EffectCall) -> String {
        self.0.add(call.key());
        format!("receipt {}", self.calls())
    }

    /// The effect of a handler to which nothing happens.
    async fn effect(&self, ctx: &JobContext, name: &str, kind: EffectKind) -> Result<String, JobError> {
        ctx.effect(name, kind, |call| async move { Ok::<_, JobError>(self.send(&call)) }).await
    }

    /// The effect, and the death of the process before it can be noted: as far as the job can tell, the handler is dropped
    /// here by its timeout.
    async fn send_and_die(&self, call: EffectCall, attempt: u32) -> Result<String, JobError> {
        let receipt = self.send(&call);
        if attempt == 1 {
            std::future::pending::<()>().await;
        }
        Ok(receipt)
    }
}

/// Runs one job to its end; answers how it died, if it did.
async fn run<F>(
    store: Arc<dyn Operate>,
    handler: impl Fn(JobContext) -> F + Send + Sync + 'static,
) -> Option<JobRecord>
where
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let running = runtime(store, Script::new(move |_, ctx| handler(ctx))).build().expect("builds").start();
    running.client().enqueue(Act { n: 1 }).await.expect("enqueue works");
    until_drained(running.client()).await;
    let dead = dead(running.client()).await.pop();
    running.shutdown().await.expect("it ends");
    dead
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_gets_the_kept_result() {
    for kind in [BY_KEY, EffectKind::AtMostOnce, EffectKind::AtLeastOnce] {
        let (sink, seen) = (Sink::default(), Log::default());
        let (outside, log) = (sink.clone(), seen.clone());
        let dead = run(memory(), move |ctx| {
            let (outside, log) = (outside.clone(), log.clone());
            async move {
                log.add(outside.effect(&ctx, "mail", kind).await?);
                if ctx.attempt() < 3 { Err("something else fails".into()) } else { Ok(()) }
            }
        })
        .await;
        assert!(dead.is_none(), "{dead:?}");
        assert_eq!(seen.lines(), ["receipt 1", "receipt 1", "receipt 1"], "{kind:?}");
        assert_eq!(sink.calls(), 1, "{kind:?}");
    }
}

async fn die_in(kind: EffectKind) -> (Sink, Option<JobRecord>) {
    let sink = Sink::default();
    let outside = sink.clone();
    let dead = run(memory(), move |ctx| {
        let (outside, attempt) = (outside.clone(), ctx.attempt());
        async move {
            ctx.effect("mail", kind, |call| async move { outside.send_and_die(call, attempt).await }).await?;
            Ok(())
        }
    })
    .await;
    (sink, dead)
}

#[tokio::test(start_paused = true)]
async fn an_effect_by_key_is_called_again_with_the_same_key() {
    let (sink, dead) = die_in(BY_KEY).await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!((sink.calls(), sink.distinct()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_effect_at_least_once_is_called_again() {
    let (sink, dead) = die_in(EffectKind::AtLeastOnce).await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!(sink.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_effect_at_most_once_is_never_called_again() {
    let (sink, dead) = die_in(EffectKind::AtMostOnce).await;
    let dead = dead.expect("nobody knows whether the mail went out, so the job is not done");
    assert_eq!(dead.dead_reason, Some(DeadReason::EffectInDoubt));
    assert!(dead.errors.last().unwrap().error.contains("\"mail\""), "{:?}", dead.errors);
    assert_eq!(sink.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_other_side_has_forgotten_is_not_used_again() {
    let (sink, dead) = die_in(EffectKind::IdempotentByKey { remote_ttl: Duration::from_secs(10) }).await;
    assert_eq!(dead.expect("in doubt").dead_reason, Some(DeadReason::EffectInDoubt));
    assert_eq!(sink.calls(), 1);
}

async fn die_verified(answer: Verified<String>) -> (Sink, Log, Option<JobRecord>) {
    let (sink, seen) = (Sink::default(), Log::default());
    let (outside, log) = (sink.clone(), seen.clone());
    let dead = run(memory(), move |ctx| {
        let (outside, log, attempt, answer) = (outside.clone(), log.clone(), ctx.attempt(), answer.clone());
        async move {
            let verify = |_| async { Ok::<_, JobError>(answer) };
            let send = |call| async move { outside.send_and_die(call, attempt).await };
            log.add(ctx.verified_effect("mail", verify, send).await?);
            Ok(())
        }
    })
    .await;
    (sink, seen, dead)
}

#[tokio::test(start_paused = true)]
async fn the_other_side_is_asked_before_a_verified_effect_is_called_again() {
    let (sink, seen, dead) = die_verified(Verified::Done("found".into())).await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!((sink.calls(), seen.lines()), (1, vec!["found".to_owned()]));

    let (sink, seen, dead) = die_verified(Verified::NotDone).await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!((sink.calls(), seen.lines()), (2, vec!["receipt 2".to_owned()]));

    let (sink, _, dead) = die_verified(Verified::CannotTell).await;
    assert_eq!(dead.expect("in doubt").dead_reason, Some(DeadReason::EffectInDoubt));
    assert_eq!(sink.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_cannot_be_ignored() {
    let sink = Sink::default();
    let outside = sink.clone();
    let dead = run(memory(), move |ctx| {
        let outside = outside.clone();
        async move {
            let send = |call: EffectCall| async move {
                outside.send(&call);
                Err::<(), _>("the connection broke after the request was sent")
            };
            let _ = ctx.effect("mail", EffectKind::AtMostOnce, send).await;
            Ok(())
        }
    })
    .await;
    assert_eq!(dead.expect("the handler said Ok").dead_reason, Some(DeadReason::EffectInDoubt));
    assert_eq!(sink.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_again() {
    let sink = Sink::default();
    let outside = sink.clone();
    let dead = run(memory(), move |ctx| {
        let (outside, attempt) = (outside.clone(), ctx.attempt());
        async move {
            let send = |call: EffectCall| async move {
                if attempt == 1 {
                    return Err("connection refused").not_sent();
                }
                Ok(outside.send(&call))
            };
            ctx.effect("mail", EffectKind::AtMostOnce, send).await?;
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!(sink.calls(), 1);
}

/// Handlers do nothing outside before the store has said that it has the note.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_it_is_noted() {
    let (sink, saves) = (Sink::default(), Arc::new(AtomicUsize::new(0)));
    let (outside, count) = (sink.clone(), Arc::clone(&saves));
    let store = Faulty::over(memory(), move |operation| {
        let broken = operation == "save" && count.fetch_add(1, Ordering::SeqCst) < 6;
        if broken { Fault::NotApplied(ErrorKind::Transient) } else { Fault::None }
    });
    let tries = Arc::clone(&saves);
    let dead = run(store, move |ctx| {
        let (outside, saves) = (outside.clone(), Arc::clone(&tries));
        async move {
            let send = |call: EffectCall| async move {
                assert!(saves.load(Ordering::SeqCst) > 6, "sent although no note could be written");
                Ok::<_, JobError>(outside.send(&call))
            };
            ctx.effect("mail", EffectKind::AtMostOnce, send).await?;
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "the first attempt failed without calling anything, the second called: {dead:?}");
    assert_eq!(sink.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_note_whose_answer_was_lost_is_written_once_more() {
    let (sink, saves) = (Sink::default(), Arc::new(AtomicUsize::new(0)));
    let outside = sink.clone();
    let store = Faulty::over(memory(), move |operation| {
        let lost = operation == "save" && saves.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if lost { Fault::AnswerLost } else { Fault::None }
    });
    let dead = run(store, move |ctx| {
        let outside = outside.clone();
        async move {
            outside.effect(&ctx, "mail", EffectKind::AtMostOnce).await?;
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!(sink.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_lost_the_job_begins_no_effect() {
    let (sink, store) = (Sink::default(), memory());
    let (outside, elsewhere) = (sink.clone(), Arc::clone(&store));
    let dead = run(store, move |ctx| {
        let (outside, store) = (outside.clone(), Arc::clone(&elsewhere));
        async move {
            // The job ends elsewhere, and its runtime has not heard of it.
            let (hold, _) = ctx.complete_elsewhere().expect("it runs");
            let end = Settlement::new(hold, Verdict::Complete);
            assert_eq!(store.settle(ctx.queue(), &[end]).await.unwrap(), [Settled::Applied]);
            outside.effect(&ctx, "mail", EffectKind::AtMostOnce).await.expect_err("it is somebody else's");
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!(sink.calls(), 0);
}

/// The common pattern, in which a key is stored and then the mail is sent, loses the mail of a process that dies in between:
/// every later attempt finds the key and skips. Ours does not.
#[tokio::test(start_paused = true)]
async fn a_key_before_the_mail_loses_it_and_an_effect_does_not() {
    let (naive, guarded) = (Log::default(), Sink::default());
    let keys = Log::default();
    let (mails, outside) = (naive.clone(), guarded.clone());
    let dead = run(memory(), move |ctx| {
        let (keys, mails) = (keys.clone(), mails.clone());
        async move {
            // What many guides show: "insert the key; if it was there already, the mail has been sent".
            let inserted = keys.count(ctx.idempotency_key()) == 0;
            if inserted {
                keys.add(ctx.idempotency_key());
                if ctx.attempt() == 1 {
                    // The process dies here.
                    return Err("killed".into());
                }
                mails.add("mail");
            }
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "the queue says that all is well");
    assert_eq!(naive.lines().len(), 0, "and the mail was never sent");

    let dead = run(memory(), move |ctx| {
        let (outside, attempt) = (outside.clone(), ctx.attempt());
        async move {
            let send = |call: EffectCall| async move {
                if attempt == 1 {
                    // The process dies here: noted, and not sent.
                    std::future::pending::<()>().await;
                }
                Ok::<_, JobError>(outside.send(&call))
            };
            ctx.effect("mail", BY_KEY, send).await?;
            Ok(())
        }
    })
    .await;
    assert!(dead.is_none(), "{dead:?}");
    assert_eq!(guarded.calls(), 1, "the mail was sent");
}

#[tokio::test(start_paused = true)]
async fn a_bad_name_is_refused_before_anything_is_called() {
    let sink = Sink::default();
    let outside = sink.clone();
    let dead = run(memory(), move |ctx| {
        let outside = outside.clone();
        async move {
            outside.effect(&ctx, "an e-mail", BY_KEY).await?;
            Ok(())
        }
    })
    .await
    .expect("dead");
    assert_eq!(dead.dead_reason, Some(DeadReason::Permanent));
    assert_eq!(sink.calls(), 0);
}

#[tokio::test]
async fn a_handler_with_effects_can_be_called_in_a_unit_test() {
    let ctx = JobContext::test();
    let sink = Sink::default();
    for _ in 0..2 {
        assert_eq!(sink.effect(&ctx, "mail", BY_KEY).await.unwrap(), "receipt 1");
    }
    assert_eq!(sink.calls(), 1);
}
