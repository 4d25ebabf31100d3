//! Checkpoints, progress, and jobs that come with a completion.

mod support;

use backend_memory::MemoryBackend;
use futures_util::stream;
use job_core::{
    DeadReason, JobContext, JobError, JobState, NewJob, Operate, Progress, Settled, Settlement, Verdict,
};
use std::sync::Arc;
use std::time::Duration;
use support::{Act, Log, QUEUE, Script, dead, runtime, until, until_drained};
use tokio::time::sleep;

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

/// Goes through 0..10, an item in 300 ms.
async fn go_through(ctx: &JobContext, log: Log, fail_at: Option<u64>) -> Result<u64, JobError> {
    let items = |cursor: Option<u64>| stream::iter((cursor.map_or(0, |c| c + 1)..10).map(Ok::<_, JobError>));
    let attempt = ctx.attempt();
    ctx.resume_each(items, move |n| {
        let log = log.clone();
        async move {
            if fail_at == Some(n) && attempt == 1 {
                return Err(JobError::retry("fails here"));
            }
            sleep(Duration::from_millis(300)).await;
            log.add(n.to_string());
            Ok(n)
        }
    })
    .await
}

fn numbers(from: u64) -> Vec<String> {
    (from..10).map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_resumed_where_it_failed() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move { go_through(&ctx, seen, Some(7)).await.map(drop) }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    assert_eq!(log.lines(), numbers(0), "each item once");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_killed_attempt_repeats_a_second_of_work_at_most() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move {
            if ctx.attempt() == 1 {
                // Dropped in the middle, without a word.
                let whole = go_through(&ctx, seen, None);
                let _ = tokio::time::timeout(Duration::from_millis(2_000), whole).await;
                return Err("killed".into());
            }
            go_through(&ctx, seen, None).await.map(drop)
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    let lines = log.lines();
    let first = 6;
    assert_eq!(lines[..first], (0..6).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(lines[first..], numbers(4), "the checkpoint after 1.2 s was at item 3");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_keeps_the_place_and_costs_no_attempt() {
    let store = memory();
    let log = Log::default();
    let script = |seen: Log| {
        Script::new(move |_, ctx| {
            let seen = seen.clone();
            async move {
                seen.add(format!("attempt {}", ctx.attempt()));
                go_through(&ctx, seen, None).await.map(drop)
            }
        })
    };
    let build = |seen| {
        runtime(Arc::clone(&store), script(seen))
            .shutdown_deadline(Duration::from_secs(2))
            .cancel_grace(Duration::from_secs(1))
    };
    let running = build(log.clone()).build().unwrap().start();
    let id = running.client().enqueue(Act { n: 1 }).await.unwrap().id;
    let client = running.client().clone();
    until("some items", async || log.lines().len() >= 3).await;
    assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0);
    let done = log.lines().len() - 1;
    assert!(done < 10, "it was stopped before its end: {:?}", log.lines());
    let record = client.backend().get(id).await.unwrap().expect("it waits");
    assert_eq!((record.state, record.attempt), (JobState::Ready, 0));

    let again = build(log.clone()).build().unwrap().start();
    until_drained(again.client()).await;
    let mut expected = vec!["attempt 1".to_owned()];
    expected.extend(numbers(0)[..done].iter().cloned());
    expected.push("attempt 1".to_owned());
    expected.extend(numbers(done as u64));
    assert_eq!(log.lines(), expected, "each item once");
    again.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replayed_job_resumes_at_its_checkpoint() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            let page = ctx.checkpoint::<u32>().await?.unwrap_or(0);
            seen.add(format!("page {page}"));
            ctx.save(&(page + 1)).await?;
            if page < 1 && n == 1 { Err(JobError::permanent("the disk is full")) } else { Ok(()) }
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    let id = client.enqueue(Act { n: 1 }).await.unwrap().id;
    until("it is dead", async || !dead(client).await.is_empty()).await;
    assert_eq!(client.backend().replay(&[id]).await.unwrap(), [true]);
    until_drained(client).await;
    assert_eq!(log.lines(), ["page 0", "page 1"]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_type_kills_the_job_and_keeps_it() {
    let script = Script::new(|_, ctx| async move {
        if ctx.attempt() == 1 {
            ctx.save("text").await?;
            return Err("again".into());
        }
        ctx.checkpoint::<u32>().await?;
        Ok(())
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    client.enqueue(Act { n: 1 }).await.unwrap();
    until("it is dead", async || !dead(client).await.is_empty()).await;
    let job = dead(client).await.remove(0);
    assert_eq!(job.dead_reason, Some(DeadReason::Permanent));
    assert!(job.errors[1].error.contains("checkpoint"), "{:?}", job.errors);
    running.shutdown().await.unwrap();
}

/// Otherwise it would begin from the start: the notes of a job go with it.
#[tokio::test(start_paused = true)]
async fn whoever_has_lost_the_job_is_told_so_and_not_that_there_is_no_checkpoint() {
    let (store, log) = (memory(), Log::default());
    let (elsewhere, seen) = (Arc::clone(&store), log.clone());
    let script = Script::new(move |_, ctx| {
        let (store, seen) = (Arc::clone(&elsewhere), seen.clone());
        async move {
            if ctx.attempt() == 1 {
                ctx.save(&7).await?;
                return Err("again".into());
            }
            // The job ends elsewhere, and its runtime has not heard of it.
            let (hold, _) = ctx.complete_elsewhere().expect("it runs");
            let end = Settlement::new(hold, Verdict::Complete);
            assert_eq!(store.settle(ctx.queue(), &[end]).await.unwrap(), [Settled::Applied]);
            let answer = ctx.checkpoint::<u32>().await;
            seen.add(answer.map_or_else(|error| error.report(), |found| format!("{found:?}")));
            Ok(())
        }
    });
    let running = runtime(store, script).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    until("it has read", async || !log.lines().is_empty()).await;
    assert_eq!(log.lines(), ["the lease on this job has ended: it runs elsewhere"]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn progress_can_be_seen_and_is_not_stored_every_time() {
    let log = Log::default();
    let saves = log.clone();
    let store = support::Faulty::over(memory(), move |operation| {
        if operation == "save" {
            saves.add("save");
        }
        support::Fault::None
    });
    let script = Script::new(|_, ctx| async move {
        for n in 1..=1_000 {
            ctx.progress(Progress::of(n, 1_000).message("resizing")).await?;
            sleep(Duration::from_millis(5)).await;
        }
        Err(JobError::permanent("so that it stays"))
    });
    let running = runtime(store, script).build().unwrap().start();
    let client = running.client();
    let id = client.enqueue(Act { n: 1 }).await.unwrap().id;
    let progress = async || client.backend().get(id).await.unwrap().unwrap().progress();
    until("half of it", async || progress().await.is_some_and(|p| p.done > 500 && p.done < 1_000)).await;
    until("it is dead", async || !dead(client).await.is_empty()).await;
    assert_eq!(progress().await, Some(Progress::of(1_000, 1_000).message("resizing")));
    assert!((5..=7).contains(&log.lines().len()), "5 s, once a second and at the end: {}", log.lines().len());
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_follows_is_enqueued_with_the_completion_alone() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            let parent = ctx.headers().get(NewJob::PARENT_HEADER).cloned().unwrap_or_default();
            seen.add(format!("{n} of {}", if parent.is_empty() { "nobody" } else { "a parent" }));
            if n < 3 {
                ctx.then(Act { n: n + 1 })?;
            }
            if n == 1 && ctx.attempt() < 3 { Err("not yet".into()) } else { Ok(()) }
        }
    });
    let running = runtime(memory(), script).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    let once = ["1 of nobody", "1 of nobody", "1 of nobody", "2 of a parent", "3 of a parent"];
    assert_eq!(log.lines(), once, "the failed attempts enqueued nothing");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_dead_job_never_comes() {
    let script = Script::new(|n, ctx| async move {
        assert_eq!(n, 1, "the second job must not exist");
        ctx.then(Act { n: 2 })?;
        Err(JobError::permanent("never"))
    });
    let running = runtime(memory(), script).build().unwrap().start();
    let client = running.client();
    client.enqueue(Act { n: 1 }).await.unwrap();
    until("it is dead", async || !dead(client).await.is_empty()).await;
    let stats = client.backend().stats(&QUEUE).await.unwrap();
    assert_eq!((stats.ready, stats.dead), (0, 1));
    running.shutdown().await.unwrap();
}
