//! Ending: nothing is lost, nothing is kept from others longer than it must be.

mod support;

use backend_memory::MemoryBackend;
use job_core::{ErrorKind, JobError, Operate};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, QUEUE, Script, runtime, until};
use tokio::time::{Instant, sleep};

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

#[tokio::test(start_paused = true)]
async fn running_jobs_finish_and_waiting_ones_stay() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        let seen = seen.clone();
        async move {
            seen.add(format!("start {n}"));
            sleep(Duration::from_secs(12)).await;
            seen.add(format!("end {n}"));
            Ok(())
        }
    });
    let running = runtime(memory(), script).lease(Duration::from_secs(1)).build().unwrap().start();
    let client = running.client().clone();
    client.enqueue_all((0..20).map(|n| Act { n })).await.unwrap();
    until("four run", async || log.count("start") == 4).await;
    let report = running.shutdown().await.unwrap();
    assert_eq!((log.count("start"), log.count("end")), (4, 4));
    assert_eq!(report.left_to_expire, 0);
    let stats = client.backend().stats(&QUEUE).await.unwrap();
    assert_eq!((stats.ready, stats.running), (16, 0), "12 leases long, and never lost");
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_deadline_is_asked_then_dropped_then_released() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            seen.add(format!("start {n}"));
            if n == 1 {
                ctx.cancellation().cancelled().await;
                seen.add("heard");
                return Err(JobError::cancelled());
            }
            sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
    });
    let running = runtime(memory(), script)
        .shutdown_deadline(Duration::from_secs(10))
        .cancel_grace(Duration::from_secs(2))
        .build()
        .unwrap()
        .start();
    let client = running.client().clone();
    let jobs = client.enqueue_all([Act { n: 1 }, Act { n: 2 }]).await.unwrap();
    until("both run", async || log.count("start") == 2).await;
    let began = Instant::now();
    let report = running.shutdown().await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(8) && took < Duration::from_secs(11), "{took:?}");
    assert_eq!((report.left_to_expire, log.count("heard")), (0, 1));
    for job in jobs {
        let job = client.backend().get(job.id).await.unwrap().expect("given back");
        assert_eq!((job.state, job.attempt, job.claims), (job_core::JobState::Ready, 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_whose_future_is_dropped_stops_at_once() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let backend = memory();
    let log = Log::default();
    let start = |log: &Log| {
        let seen = log.clone();
        let script = Script::new(move |n, _| {
            let seen = seen.clone();
            async move {
                seen.add(format!("start {n}"));
                let _dropped = Dropped(seen);
                sleep(Duration::from_secs(20)).await;
                Ok(())
            }
        });
        runtime(Arc::clone(&backend), script).lease(Duration::from_secs(5)).build().unwrap()
    };
    let client = job_core::Client::new(Arc::clone(&backend));
    client.enqueue_all((0..6).map(|n| Act { n })).await.unwrap();
    let cut_off = tokio::time::timeout(Duration::from_secs(1), start(&log).run_until(std::future::pending()));
    cut_off.await.expect_err("it runs on");
    until("its handlers are dropped", async || log.count("dropped") == 4).await;
    // Nothing claims or extends any more: leases run out that could not be given back in time.
    let heir = Log::default();
    let began = Instant::now();
    let running = start(&heir).start();
    until("two that waited run, and one that was cut off", async || heir.count("start") >= 3).await;
    assert_eq!(log.count("start"), 4, "it claimed no more");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn jobs_whose_verdict_cannot_be_told_are_counted() {
    let down = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&down);
    let backend = Faulty::over(memory(), move |operation| {
        if operation == "settle" && fault.load(Ordering::SeqCst) {
            Fault::NotApplied(ErrorKind::Transient)
        } else {
            Fault::None
        }
    });
    let (go, gate) = tokio::sync::watch::channel(false);
    let script = Script::new(move |_, _| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            Ok(())
        }
    });
    let running = runtime(backend, script).build().unwrap().start();
    let client = running.client().clone();
    client.enqueue_all((0..3).map(|n| Act { n })).await.unwrap();
    until("they run", async || client.backend().stats(&QUEUE).await.unwrap().running == 3).await;
    down.store(true, Ordering::SeqCst);
    go.send(true).unwrap();
    let report = running.shutdown().await.unwrap();
    assert_eq!(report.left_to_expire, 3);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_panics_is_started_again_and_no_job_is_lost() {
    for operation in ["claim", "settle", "extend", "maintain", "wait"] {
        let calls = AtomicUsize::new(0);
        let backend = Faulty::over(memory(), move |op| {
            // Every third call, three times in all, is a bug in the runtime as far as the actors can tell.
            let hit = op == operation && {
                let n = calls.fetch_add(1, Ordering::SeqCst);
                n % 3 == 1 && n < 9
            };
            if hit { Fault::Panic } else { Fault::None }
        });
        let log = Log::default();
        let seen = log.clone();
        let script = Script::new(move |n, _| {
            let seen = seen.clone();
            async move {
                sleep(Duration::from_millis(400)).await;
                seen.add(format!("run {n};"));
                Ok(())
            }
        });
        let running = runtime(backend, script).lease(Duration::from_secs(1)).build().unwrap().start();
        let client = running.client().clone();
        client.enqueue_all((0..40).map(|n| Act { n })).await.unwrap();
        support::until_drained(&client).await;
        for n in 0..40 {
            assert_eq!(
                log.count(&format!("run {n};")),
                1,
                "{operation}: job {n} ran once, its lease was kept"
            );
        }
        assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_of_every_operation_harm_nothing() {
    let calls = Mutex::new(HashMap::new());
    let backend = Faulty::over(memory(), move |operation| {
        let mut calls = calls.lock().unwrap();
        let n: &mut u32 = calls.entry(operation).or_default();
        *n += 1;
        if *n % 3 == 1 { Fault::AnswerLost } else { Fault::None }
    });
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        let seen = seen.clone();
        async move {
            seen.add(format!("run {n};"));
            Ok(())
        }
    });
    let running = runtime(backend, script).build().unwrap().start();
    let client = running.client().clone();
    for n in 0..100 {
        client.enqueue(Act { n }).await.unwrap();
    }
    support::until_drained(&client).await;
    for n in 0..100 {
        assert_eq!(log.count(&format!("run {n};")), 1, "job {n}");
    }
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_extend_stops_before_its_lease_ends() {
    let cut = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&cut);
    let backend = Faulty::over(memory(), move |operation| {
        if operation == "extend" && fault.load(Ordering::SeqCst) { Fault::Hang } else { Fault::None }
    });
    let stopped = Log::default();
    let seen = stopped.clone();
    let script = Script::new(move |_, ctx| {
        let seen = seen.clone();
        async move {
            let began = Instant::now();
            ctx.cancellation().cancelled().await;
            seen.add(format!("{:.1}", began.elapsed().as_secs_f64()));
            Err(JobError::cancelled())
        }
    });
    cut.store(true, Ordering::SeqCst);
    let running = runtime(backend, script).lease(Duration::from_secs(10)).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("it was stopped", async || !stopped.lines().is_empty()).await;
    let after: f64 = stopped.lines()[0].parse().unwrap();
    assert!((5.0..10.0).contains(&after), "stopped after {after} s of a 10 s lease");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out() {
    let down = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&down);
    let backend = Faulty::over(memory(), move |operation| {
        if fault.load(Ordering::SeqCst) && operation != "enqueue" {
            Fault::NotApplied(ErrorKind::Transient)
        } else {
            Fault::None
        }
    });
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        let seen = seen.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            seen.add(format!("run {n};"));
            Ok(())
        }
    });
    let running = runtime(backend, script).build().unwrap().start();
    let client = running.client().clone();
    client.enqueue_all((0..8).map(|n| Act { n })).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    down.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(6)).await;
    down.store(false, Ordering::SeqCst);
    support::until_drained(&client).await;
    for n in 0..8 {
        assert_eq!(
            log.count(&format!("run {n};")),
            1,
            "an outage shorter than the lease repeats nothing: job {n}"
        );
    }
    running.shutdown().await.unwrap();
}

/// Nobody can extend during an outage, so nobody ends a lease right after it: another process may take a little longer
/// to come back, and then says what became of its jobs.
#[tokio::test(start_paused = true)]
async fn jobs_that_end_in_a_long_outage_run_once() {
    let store = memory();
    let (mine, theirs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let cut_off = |down: &Arc<AtomicBool>| {
        let down = Arc::clone(down);
        Faulty::over(Arc::clone(&store), move |operation| {
            if down.load(Ordering::SeqCst) && operation != "enqueue" {
                Fault::NotApplied(ErrorKind::Transient)
            } else {
                Fault::None
            }
        })
    };
    let log = Log::default();
    let start = |backend| {
        let seen = log.clone();
        let script = Script::new(move |n, _| {
            let seen = seen.clone();
            async move {
                seen.add(format!("run {n};"));
                sleep(Duration::from_secs(1)).await;
                Ok(())
            }
        });
        runtime(backend, script).lease(Duration::from_secs(2)).build().unwrap().start()
    };
    let worker = start(cut_off(&mine));
    worker.client().enqueue_all((0..4).map(|n| Act { n })).await.unwrap();
    until("all run", async || log.lines().len() == 4).await;
    let other = start(cut_off(&theirs));
    sleep(Duration::from_millis(500)).await;
    mine.store(true, Ordering::SeqCst);
    theirs.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(20)).await;
    theirs.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    mine.store(false, Ordering::SeqCst);
    support::until_drained(worker.client()).await;
    assert_eq!(log.lines().len(), 4, "{:?}", log.lines());
    worker.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_of_the_store_ends_the_runtime_with_its_text() {
    let backend = Faulty::over(memory(), |operation| {
        if operation == "claim" { Fault::NotApplied(ErrorKind::Permanent) } else { Fault::None }
    });
    let runtime = runtime(backend, Script::new(|_, _| async { Ok(()) })).build().unwrap();
    let error = runtime.run_until(std::future::pending()).await.expect_err("it cannot work");
    assert!(error.to_string().contains("injected"), "{error}");
}
