//! Limits, lines and breakers in whole runtimes, on the in-memory backend under paused time.

mod support;

use backend_memory::MemoryBackend;
use job_core::{
    Job, JobContext, JobError, JobLimits, JobSpec, Key, Kind, Limit, LimitName, NewJob, Operate, Queue,
    QueueName, Runtime, RuntimeBuilder,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::{Fault, Faulty, QUEUE, until, until_drained, until_drained_of};
use tokio::time::{Instant, sleep};

const SLOW: QueueName = QueueName::from_static("slow");

/// What a test looks at.
#[derive(Debug, Default)]
struct Seen {
    running: AtomicUsize,
    most: AtomicUsize,
    starts: Mutex<Vec<(Instant, u64, u64)>>,
    failing: AtomicUsize,
    /// How many can run at one time and go well, if not 0; how many did not.
    room: AtomicUsize,
    crowded: AtomicUsize,
}

impl Seen {
    async fn run(&self, tenant: u64, n: u64) -> Result<(), JobError> {
        self.starts.lock().expect("no test panics here").push((Instant::now(), tenant, n));
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let room = self.room.load(Ordering::SeqCst);
        sleep(Duration::from_millis(100)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        if room > 0 && running > room {
            self.crowded.fetch_add(1, Ordering::SeqCst);
            return Err("crowded".into());
        }
        let left = self.failing.load(Ordering::SeqCst);
        if left > 0 {
            self.failing.store(left - 1, Ordering::SeqCst);
            return Err("down".into());
        }
        Ok(())
    }

    fn starts(&self) -> Vec<(Instant, u64, u64)> {
        self.starts.lock().expect("no test panics here").clone()
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

macro_rules! job_type {
    ($Name:ident, $kind:literal, $spec:expr, $line:expr) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $Name {
            tenant: u64,
            n: u64,
        }

        impl Job for $Name {
            fn spec() -> &'static JobSpec {
                static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
                    let mut spec = JobSpec::new(Kind::from_static($kind));
                    spec.backoff = job_core::Backoff::Fixed(Duration::from_secs(1));
                    let set: fn(&mut JobSpec) = $spec;
                    set(&mut spec);
                    spec
                });
                &SPEC
            }

            async fn run(self, ctx: JobContext) -> Result<(), JobError> {
                let seen = ctx.state::<Seen>().expect("the test gives one");
                if self.n == 999 {
                    let period = Duration::from_secs(30);
                    ctx.backoff_limit("stripe", period).await?;
                    return Err(JobError::retry_after("busy", period));
                }
                seen.run(self.tenant, self.n).await
            }

            fn line(&self) -> Option<Key> {
                let line: fn(&$Name) -> Option<Key> = $line;
                line(self)
            }
        }
    };
}

fn under_stripe(limits: &mut JobLimits) {
    limits.names = vec![LimitName::new("stripe").expect("valid")];
}

job_type!(Charge, "charge", |spec| under_stripe(&mut spec.limits), |_| None);
job_type!(
    Refund,
    "refund",
    |spec| {
        under_stripe(&mut spec.limits);
        spec.queue = SLOW;
    },
    |_| None
);
job_type!(Free, "free", |_| {}, |_| None);
job_type!(Fair, "fair", |_| {}, |job| Some(Key::new(job.tenant.to_string())));
job_type!(Pair, "pair", |spec| spec.limits.line = Limit::concurrency(2).rule().expect("valid"), |job| Some(
    Key::new(job.tenant.to_string())
));
job_type!(Ordered, "ordered", |spec| spec.limits.ordered = true, |job| Some(Key::new(
    job.tenant.to_string()
)));

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

fn runtime(store: &Arc<dyn Operate>, seen: &Arc<Seen>) -> RuntimeBuilder {
    Runtime::builder(Arc::clone(store))
        .job::<Charge>()
        .job::<Refund>()
        .job::<Free>()
        .job::<Fair>()
        .job::<Pair>()
        .job::<Ordered>()
        .state_arc(Arc::clone(seen))
        .default_queue(Queue::concurrency(20))
}

#[tokio::test(start_paused = true)]
async fn a_downstream_never_has_more_than_it_can_take_and_is_never_idle() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let start = || runtime(&store, &seen).limit("stripe", Limit::concurrency(5)).build().unwrap().start();
    let (one, other) = (start(), start());
    let client = one.client();
    let began = Instant::now();
    client.enqueue_all((0..100).map(|n| Charge { tenant: 0, n })).await.unwrap();
    client.enqueue_all((0..100).map(|n| Refund { tenant: 0, n })).await.unwrap();
    until_drained(client).await;
    until_drained_of(client, &SLOW).await;
    assert_eq!(seen.most(), 5);
    // 200 jobs of 100 ms, 5 at one time.
    let (took, least) = (began.elapsed(), Duration::from_secs(4));
    assert!(took >= least && took < least.mul_f64(1.05), "{took:?}");
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_used() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let running =
        runtime(&store, &seen).limit("stripe", Limit::per("20/s").burst(5)).build().unwrap().start();
    let client = running.client();
    client.enqueue_all((0..105).map(|n| Charge { tenant: 0, n })).await.unwrap();
    until_drained(client).await;
    let starts: Vec<Instant> = seen.starts().iter().map(|(at, ..)| *at).collect();
    assert_eq!(starts.len(), 105);
    for (n, at) in starts.iter().enumerate().skip(5) {
        // From any start on: a burst, and one each 50 ms.
        for (m, earlier) in starts[..n].iter().enumerate() {
            let most = 5.0 + at.duration_since(*earlier).as_secs_f64() * 20.0 + 0.001;
            let jobs = u32::try_from(n - m + 1).expect("few");
            assert!(f64::from(jobs) <= most + 1.0, "{jobs} jobs in {:?}", at.duration_since(*earlier));
        }
    }
    let took = starts[104].duration_since(starts[0]);
    assert!(took < Duration::from_secs(5).mul_f64(1.05), "{took:?} for 100 jobs after the burst");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_under_the_limit_is_not_held_up() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let running = runtime(&store, &seen).limit("stripe", Limit::per("1/h")).build().unwrap().start();
    let client = running.client();
    client.enqueue_all((0..1_000).map(|n| Charge { tenant: 1, n })).await.unwrap();
    client.enqueue_all((0..200).map(|n| Free { tenant: 2, n })).await.unwrap();
    until("all others", async || seen.starts().iter().filter(|(_, tenant, _)| *tenant == 2).count() == 200)
        .await;
    let starts = seen.starts();
    let took = starts.last().unwrap().0.duration_since(starts[0].0);
    assert!(took < Duration::from_millis(1_200), "200 jobs of 100 ms, 20 at one time: {took:?}");
    assert_eq!(starts.iter().filter(|(_, tenant, _)| *tenant == 1).count(), 1);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_closes_a_limit_for_everybody() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let start = || runtime(&store, &seen).limit("stripe", Limit::concurrency(1)).build().unwrap().start();
    let (one, other) = (start(), start());
    let client = one.client();
    let began = Instant::now();
    client.enqueue(Charge { tenant: 0, n: 999 }).await.unwrap();
    until("the limit is closed", async || {
        store.limits().await.unwrap().iter().any(|limit| limit.closed_for.is_some())
    })
    .await;
    let closed = Instant::now();
    client.enqueue_all((0..3).map(|n| Charge { tenant: 0, n })).await.unwrap();
    client.enqueue(Refund { tenant: 0, n: 4 }).await.unwrap();
    until("the others", async || seen.starts().len() == 4).await;
    let first = seen.starts()[0].0;
    assert!(first.duration_since(began) >= Duration::from_secs(30), "{:?}", first - began);
    assert!(first.duration_since(closed) <= Duration::from_millis(30_600), "and no longer");
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_operator_changes_a_limit_while_jobs_run() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let running = runtime(&store, &seen).limit("stripe", Limit::concurrency(1)).build().unwrap().start();
    let client = running.client();
    client.enqueue_all((0..60).map(|n| Charge { tenant: 0, n })).await.unwrap();
    until("some are done", async || seen.starts().len() > 5).await;
    assert_eq!(seen.most(), 1);
    let stripe = LimitName::new("stripe").unwrap();
    store.set_limit(&stripe, Some(Limit::concurrency(4).rule().unwrap())).await.unwrap();
    let set = Instant::now();
    until("four run", async || seen.most() == 4).await;
    assert!(set.elapsed() < Duration::from_secs(2), "{:?}", set.elapsed());
    let queue = LimitName::of_queue(&QUEUE);
    store.set_limit(&queue, Some(Limit::concurrency(2).rule().unwrap())).await.unwrap();
    until("two run", async || seen.running.load(Ordering::SeqCst) == 2).await;
    seen.most.store(0, Ordering::SeqCst);
    until_drained(client).await;
    assert!(seen.most() <= 2, "{}", seen.most());
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_before_the_store_knows_the_limits() {
    let seen = Arc::new(Seen::default());
    let failures = AtomicUsize::new(3);
    let store = Faulty::over(memory(), move |call| {
        let fails = call == "declare"
            && failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails { Fault::NotApplied(job_core::ErrorKind::Transient) } else { Fault::None }
    });
    let running = runtime(&store, &seen).limit("stripe", Limit::concurrency(2)).build().unwrap();
    let client = running.client();
    client.enqueue_all((0..20).map(|n| Charge { tenant: 0, n })).await.unwrap();
    let running = running.start();
    until_drained(&client).await;
    assert_eq!(seen.most(), 2);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_failures_in_a_row() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    seen.failing.store(4, Ordering::SeqCst);
    let limit = Limit::concurrency(1).breaker(3, Duration::from_secs(60));
    let running = runtime(&store, &seen).limit("stripe", limit).build().unwrap().start();
    let client = running.client();
    let began = Instant::now();
    client.enqueue_all((0..10).map(|n| Charge { tenant: 0, n })).await.unwrap();
    until_drained(client).await;
    let starts: Vec<_> = seen.starts().iter().map(|(at, ..)| at.duration_since(began).as_secs()).collect();
    assert_eq!(starts.iter().filter(|at| **at < 60).count(), 3, "{starts:?}: three failures, then silence");
    assert_eq!(
        starts.iter().filter(|at| (60..120).contains(*at)).count(),
        1,
        "{starts:?}: one try, which fails"
    );
    assert!(starts.iter().all(|at| *at < 130), "{starts:?}: and then all are well");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limit_adapts_to_what_goes_well() {
    const JOBS: usize = 3_000;
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    seen.room.store(5, Ordering::SeqCst);
    let running = runtime(&store, &seen).queue("default", Queue::concurrency(40));
    let running = running.limit("stripe", Limit::concurrency(40).adaptive(1)).build().unwrap().start();
    let client = running.client();
    let began = Instant::now();
    client.enqueue_all((1_000..14_000).map(|n| Charge { tenant: 0, n })).await.unwrap();
    until("many have started", async || seen.starts().len() > JOBS).await;
    let (rounds, crowded) = (began.elapsed().as_millis() / 100, seen.crowded.load(Ordering::SeqCst));
    assert!(crowded < JOBS / 10, "{crowded} of {JOBS} failed: it came down");
    assert!(rounds < 1_200, "{rounds} rounds of 5 for {JOBS} jobs: it did not stay down");
    seen.room.store(0, Ordering::SeqCst);
    until("it is where it was", async || {
        let limits = store.limits().await.unwrap();
        limits.iter().any(|l| l.adapted == Some(40))
    })
    .await;
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_the_many_jobs_of_another() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let running = runtime(&store, &seen).queue("default", Queue::concurrency(4).prefetch_max(0));
    let running = running.limit("stripe", Limit::concurrency(1)).build().unwrap();
    let client = running.client();
    client.enqueue_all((0..5_000).map(|n| Fair { tenant: 1, n })).await.unwrap();
    client.enqueue_all((0..40).map(|n| Fair { tenant: 2, n })).await.unwrap();
    let running = running.start();
    until("the small tenant is served", async || {
        seen.starts().iter().filter(|(_, tenant, _)| *tenant == 2).count() == 40
    })
    .await;
    let starts = seen.starts();
    let last = starts.iter().rposition(|(_, tenant, _)| *tenant == 2).unwrap();
    assert!(last < 90, "every second job is of the small one, and its last is job {last}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_line_runs_two_at_one_time_and_lines_run_beside_each_other() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let running = runtime(&store, &seen).limit("stripe", Limit::concurrency(1)).build().unwrap().start();
    let client = running.client();
    let began = Instant::now();
    client.enqueue_all((0..60).map(|n| Pair { tenant: n % 3, n })).await.unwrap();
    until_drained(client).await;
    assert_eq!(seen.most(), 6, "two of each of three");
    assert!(began.elapsed() < Duration::from_millis(1_100), "{:?}", began.elapsed());
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_ordered_line_runs_in_order_over_failures() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    seen.failing.store(7, Ordering::SeqCst);
    let start = || runtime(&store, &seen).limit("stripe", Limit::concurrency(1)).build().unwrap().start();
    let (one, other) = (start(), start());
    let client = one.client();
    client.enqueue_all((0..60).map(|n| Ordered { tenant: n % 3, n })).await.unwrap();
    until_drained(client).await;
    for tenant in 0..3 {
        let mut order: Vec<_> =
            seen.starts().iter().filter(|(_, t, _)| *t == tenant).map(|(_, _, n)| *n).collect();
        let sorted = {
            let mut o = order.clone();
            o.sort_unstable();
            o
        };
        assert_eq!(order, sorted, "an attempt that fails is made again before the next job");
        order.dedup();
        assert_eq!(order.len(), 20);
    }
    assert!(seen.starts().len() > 60, "some failed");
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_found_when_a_runtime_is_built() {
    let (store, seen) = (memory(), Arc::new(Seen::default()));
    let error = runtime(&store, &seen)
        .limit("Stripe", Limit::concurrency(1))
        .limit("mail", Limit::per("sometimes"))
        .limit("twice", Limit::concurrency(1))
        .limit("twice", Limit::concurrency(2))
        .queue("odd", Queue::default().limit(Limit::concurrency(0)))
        .build()
        .unwrap_err()
        .to_string();
    for part in [
        "limit name \"Stripe\" is not valid",
        "limit mail: the rate \"sometimes\" has no slash",
        "limit twice is given twice",
        "the limit of queue odd: concurrency 0 lets nothing through",
        "job charge is under the limit stripe, which the runtime does not have (known: twice)",
    ] {
        assert!(error.contains(part), "{part}\nis not in\n{error}");
    }
    let mut job = NewJob::new(Kind::from_static("free"), QUEUE, "{}");
    job.set_line("x".repeat(600));
    let client = runtime(&store, &seen).limit("stripe", Limit::concurrency(1)).build().unwrap().client();
    let error = client.enqueue_new(&[job]).await.unwrap_err().to_string();
    assert!(error.contains("the key of the line of free is 600 bytes, the limit is 512"), "{error}");
}
