//! Every actor panics at every kind of message. It is started again within a second; no lease and no verdict is forgotten,
//! and jobs notice nothing. Actors that go on panicking end the runtime with an error, in good order.

mod support;

use backend_memory::MemoryBackend;
use job_core::faults::{Faults, Injected};
use job_core::{NewJob, Operate, Queue, QueueName, RunningRuntime, Runtime};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, Script, dead_of, runtime, until, until_drained_of};
use tokio::time::{Instant, sleep};

/// Where to panic, and where else so that the first place is reached.
const POINTS: [(&str, Option<&str>); 17] = [
    ("claimer.wake", None),
    ("claimer.poll", None),
    ("claimer.planned", None),
    ("claimer.answered", None),
    ("settler.flush", None),
    ("settler.retry", None),
    ("settler.answered", None),
    ("keeper.tick", None),
    ("keeper.extended", None),
    ("maintainer.tick", None),
    ("maintainer.answered", None),
    ("scheduler.tick", None),
    ("listener.woken", None),
    ("queue_supervisor.start", None),
    ("queue_supervisor.event", Some("claimer.wake")),
    ("supervisor.start", None),
    ("supervisor.event", Some("maintainer.tick")),
];

/// The text of panics that are wanted.
const ON_PURPOSE: &str = "the test panics on purpose";

/// What is to happen in one queue, and what happened.
struct Plan {
    point: &'static str,
    trigger: Option<&'static str>,
    /// Which of the passes of each panic.
    passes: fn(usize) -> bool,
    passed: HashMap<String, usize>,
    panics: usize,
    /// Of the actor that panicked, until it is seen again.
    down_since: Option<Instant>,
    longest_down: Duration,
}

static PLANS: Mutex<Option<HashMap<String, Plan>>> = Mutex::new(None);

struct Saboteur;

impl Faults for Saboteur {
    fn reached(&self, queue: &str, point: &str) -> Injected {
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(plan) = plans.as_mut().and_then(|plans| plans.get_mut(queue)) else {
            return Injected::Nothing;
        };
        let actor = |point: &str| point.split('.').next().map(str::to_owned);
        if actor(point) == actor(plan.point)
            && let Some(since) = plan.down_since.take()
        {
            plan.longest_down = plan.longest_down.max(since.elapsed());
        }
        let passed = plan.passed.entry(point.to_owned()).or_default();
        *passed += 1;
        if (point == plan.point || Some(point) == plan.trigger) && (plan.passes)(*passed) {
            if point == plan.point {
                plan.panics += 1;
                plan.down_since = Some(Instant::now());
            }
            drop(plans);
            panic!("{ON_PURPOSE}");
        }
        Injected::Nothing
    }
}

/// From now on this queue fails as planned.
fn sabotage(
    queue: &QueueName,
    (point, trigger): (&'static str, Option<&'static str>),
    passes: fn(usize) -> bool,
) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        job_core::faults::install(std::sync::Arc::new(Saboteur));
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(ON_PURPOSE) {
                say(info);
            }
        }));
    });
    let plan = Plan {
        point,
        trigger,
        passes,
        passed: HashMap::new(),
        panics: 0,
        down_since: None,
        longest_down: Duration::ZERO,
    };
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    plans.get_or_insert_default().insert(queue.as_str().to_owned(), plan);
}

fn look<T>(queue: &QueueName, at: impl FnOnce(&Plan) -> T) -> T {
    let plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    at(plans.as_ref().and_then(|plans| plans.get(queue.as_str())).expect("it is planned"))
}

fn panics(queue: &QueueName) -> usize {
    look(queue, |plan| plan.panics)
}

/// How often an actor of this queue came to this point.
fn passed(queue: &QueueName, point: &str) -> usize {
    look(queue, |plan| plan.passed.get(point).copied().unwrap_or(0))
}

/// What came of it: how often its actor panicked, and the longest time until it was there again.
fn damage(queue: &QueueName) -> (usize, Duration) {
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plans.as_mut().and_then(|plans| plans.remove(queue.as_str())).expect("it was planned");
    assert_eq!(plan.down_since, None, "{}: it was not started again", plan.point);
    (plan.panics, plan.longest_down)
}

fn queue_of(test: &str, point: &str) -> QueueName {
    QueueName::new(format!("{test}-{}", point.replace(['.', '_'], "-"))).expect("a good name")
}

fn build(queue: &QueueName, script: Script, lease: Duration) -> Runtime {
    let backend: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
    let builder = runtime(backend, script).lease(lease);
    builder
        .queue(queue.as_str(), Queue::concurrency(4))
        .only_queues([queue.as_str()])
        .build()
        .expect("a good configuration")
}

async fn enqueue(client: &job_core::Client, queue: &QueueName, numbers: std::ops::Range<u64>) {
    let job = |n| {
        let mut job = NewJob::of(&Act { n }).expect("it can be encoded");
        job.queue = queue.clone();
        job
    };
    client.enqueue_new(&numbers.map(job).collect::<Vec<_>>()).await.expect("enqueued");
}

/// The first three, and one that comes later.
fn some(pass: usize) -> bool {
    pass <= 3 || pass == 7
}

async fn nothing_is_forgotten(test: &str, at: (&'static str, Option<&'static str>), lease: Duration) {
    let queue = queue_of(test, at.0);
    sabotage(&queue, at, some);
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            // Some that need extensions, some that do not.
            sleep(if n % 2 == 0 { lease * 3 / 2 } else { lease / 10 }).await;
            seen.add(format!("run {n}; attempt {}, claim {}", ctx.attempt(), ctx.fencing_token().claims));
            Ok(())
        }
    });
    let running: RunningRuntime = build(&queue, script, lease).start();
    let client = running.client().clone();
    for round in 0..10 {
        enqueue(&client, &queue, round * 2..round * 2 + 2).await;
        sleep(lease / 5).await;
    }
    until_drained_of(&client, &queue).await;
    let report = running.shutdown().await.expect("a clean end");
    assert_eq!(report.left_to_expire, 0, "{at:?}");
    for n in 0..20 {
        let runs: Vec<_> = log.lines().into_iter().filter(|l| l.starts_with(&format!("run {n};"))).collect();
        assert_eq!(runs, [format!("run {n}; attempt 1, claim 1")], "{at:?}");
    }
    assert!(dead_of(&client, &queue).await.is_empty(), "{at:?}");
    let (panics, longest_down) = damage(&queue);
    assert!(panics >= 3, "{at:?}: only {panics} panics");
    assert!(longest_down < Duration::from_secs(1), "{at:?}: {longest_down:?} until it was there again");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_under_paused_time() {
    for at in POINTS {
        nothing_is_forgotten("paused", at, Duration::from_secs(1)).await;
    }
}

/// Here the lease keeper has its thread.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forgotten_in_real_time() {
    let tests = POINTS.map(|at| nothing_is_forgotten("real", at, Duration::from_secs(2)));
    futures_util::future::join_all(tests).await;
}

/// Every actor panics whenever it can, from the moment on that a handler runs.
#[tokio::test(start_paused = true)]
async fn one_that_goes_on_panicking_ends_the_runtime() {
    for at in POINTS {
        let queue = queue_of("budget", at.0);
        let log = Log::default();
        let seen = log.clone();
        let script = Script::new(move |n, _| {
            let seen = seen.clone();
            async move {
                if n == 0 {
                    seen.add("started");
                    sleep(Duration::from_secs(9)).await;
                    seen.add("ended");
                }
                Ok(())
            }
        });
        let runtime = build(&queue, script, Duration::from_secs(30));
        let client = runtime.client();
        enqueue(&client, &queue, 0..1).await;
        let ended = tokio::spawn(runtime.run_until(std::future::pending()));
        until("it runs", async || log.count("started") == 1).await;
        // A panic of a child is what brings the supervisors to their points.
        let trigger = match at.0 {
            "settler.retry" => Some("settler.flush"),
            "queue_supervisor.start" => Some("claimer.wake"),
            "supervisor.start" => Some("maintainer.tick"),
            _ => at.1,
        };
        sabotage(&queue, (at.0, trigger), |_| true);
        let began = Instant::now();
        let mut n = 1;
        while !ended.is_finished() {
            // Wake-ups for the claimer and the listener, verdicts for the settler.
            enqueue(&client, &queue, n..n + 1).await;
            n += 1;
            sleep(Duration::from_millis(100)).await;
        }
        let error = ended.await.unwrap().expect_err("it cannot go on").to_string();
        assert!(error.contains("failed too often"), "{at:?}: {error}");
        assert_eq!(log.lines(), ["started", "ended"], "{at:?}: handlers are drained");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(45), "{at:?}: it took {took:?}");
    }
}

/// The supervisor dies while its claimer is in a call that blocks its thread. The next one waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_queue_never_has_two_claimers() {
    let queue = QueueName::from_static("two-claimers");
    let claiming = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, max) = (Arc::clone(&claiming), Arc::clone(&most));
    let backend = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| {
        if operation == "claim" {
            max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
            now.fetch_sub(1, Ordering::SeqCst);
        }
        Fault::None
    });
    // The keeper dies at each third tick, its supervisor at each third death, and claims go on in between.
    sabotage(&queue, ("queue_supervisor.event", Some("keeper.tick")), |pass| pass % 3 == 0);
    let builder = runtime(backend, Script::new(|_, _| async { Ok(()) })).poll_max(Duration::from_millis(1));
    let builder = builder
        .lease(Duration::from_millis(600))
        .queue(queue.as_str(), Queue::default())
        .only_queues([queue.as_str()]);
    let running = builder.build().unwrap().start();
    enqueue(running.client(), &queue, 0..10).await;
    until("the supervisor died twice", async || panics(&queue) == 2).await;
    until_drained_of(running.client(), &queue).await;
    running.shutdown().await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// The claimer and the settler hang in calls; what goes on around them must not pile up in their mailboxes.
#[tokio::test(start_paused = true)]
async fn mailboxes_stay_short_however_long_an_actor_hangs() {
    const MANY: u64 = 100_000;
    let queue = QueueName::from_static("mailboxes");
    let hang = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&hang);
    let backend = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| {
        let hangs = fault.load(Ordering::SeqCst) && matches!(operation, "claim" | "settle");
        if hangs { Fault::Hang } else { Fault::None }
    });
    let (open, gate) = tokio::sync::watch::channel(false);
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let script = Script::new(move |_, _| {
        let (mut gate, count) = (gate.clone(), Arc::clone(&count));
        async move {
            let _ = gate.wait_for(|open| *open).await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let builder = runtime(backend, script).lease(Duration::from_secs(300));
    let all = Queue::concurrency(usize::try_from(MANY).unwrap() + 1);
    let running = builder.queue(queue.as_str(), all).only_queues([queue.as_str()]).build().unwrap().start();
    let client = running.client();
    enqueue(client, &queue, 0..MANY).await;
    let stats = async || client.backend().stats(&queue).await.unwrap();
    until("all run", async || stats().await.running == MANY).await;
    hang.store(true, Ordering::SeqCst);
    enqueue(client, &queue, 0..1).await;
    // Until the claimer is in its call; its calls give up after 10 s.
    sleep(Duration::from_secs(1)).await;
    sabotage(&queue, ("claimer.wake", Some("settler.flush")), |_| false);
    let heard = passed(&queue, "listener.woken");
    for n in 0..MANY {
        enqueue(client, &queue, n..n + 1).await;
        tokio::task::yield_now().await;
    }
    open.send(true).unwrap();
    until("all have ended", async || ended.load(Ordering::SeqCst) as u64 >= MANY).await;
    // Longer than two calls, so that everything in the mailboxes has been looked at.
    sleep(Duration::from_secs(25)).await;
    let woken = passed(&queue, "listener.woken") - heard;
    assert!(woken as u64 > MANY / 2, "only {woken} wake-ups: this proves nothing");
    let messages = passed(&queue, "claimer.wake") + passed(&queue, "settler.flush");
    assert!(messages <= 8, "{messages} messages after {woken} wake-ups and {MANY} ended jobs");
}
