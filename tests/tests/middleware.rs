//! Middleware, encryption and versions of arguments in whole runtimes, on the in-memory backend under paused time.

mod support;

use backend_memory::MemoryBackend;
use bytes::Bytes;
use job_core::{
    Client, DeadReason, Encryption, EnqueueError, Job, JobContext, JobError, JobFuture, JobSpec, JobState,
    Keyring, Kind, ListFilter, Middleware, NewJob, Operate, Runtime, SecretKey, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use support::{Act, Log, QUEUE, Script, dead, runtime, until, until_drained};
use tokio::time::{Instant, sleep};

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

fn one(log: &Log) -> Script {
    let seen = log.clone();
    Script::new(move |n, ctx| {
        let seen = seen.clone();
        async move {
            seen.add(format!("{n} attempt {}", ctx.attempt()));
            Ok(())
        }
    })
}

tokio::task_local!(static TENANT: String);

/// What the documentation says middleware is for: context that travels, and times.
struct Observed(Log);

impl Middleware for Observed {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        let tenant = TENANT.try_with(Clone::clone).map_err(|_| EnqueueError::rejected("which tenant?"))?;
        job.headers.insert("tenant".into(), tenant);
        Ok(())
    }
    fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        Box::pin(TENANT.scope(ctx.headers()["tenant"].clone(), handler))
    }
    fn ended(&self, ctx: &JobContext, verdict: &Verdict, took: Duration) {
        let verdict = match verdict {
            Verdict::Retry { error, .. } => format!("retry: {}", error.as_str()),
            Verdict::Dead { reason, error } => format!("{reason}: {}", error.as_str()),
            other => format!("{other:?}"),
        };
        self.0.add(format!("attempt {} took {} s, {verdict}", ctx.attempt(), took.as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn context_travels_with_the_job_and_every_end_is_told() {
    let log = Log::default();
    let script = Script::new(|n, ctx| async move {
        assert_eq!(TENANT.with(Clone::clone), "acme");
        assert_eq!(ctx.headers()["tenant"], "acme");
        sleep(Duration::from_secs(n)).await;
        match (n, ctx.attempt()) {
            (1, 1) => Err("not yet".into()),
            (1, 2) => panic!("boom"),
            _ => Ok(()),
        }
    });
    let running = runtime(memory(), script).middleware(Observed(log.clone())).build().unwrap().start();
    let client = running.client().clone();
    let refused = client.enqueue(Act { n: 1 }).await.expect_err("there is no tenant");
    assert_eq!(refused.to_string(), "job refused: which tenant?");
    assert_eq!(client.backend().stats(&QUEUE).await.unwrap().ready, 0);
    // Longer than its timeout of 30 s.
    let jobs = [1, 100].map(|n| client.enqueue(Act { n }).header("n", n.to_string()));
    for job in jobs {
        TENANT.scope("acme".into(), async { job.await.unwrap() }).await;
        until_drained(&client).await;
    }
    assert_eq!(
        log.lines(),
        [
            "attempt 1 took 1 s, retry: not yet",
            "attempt 2 took 1 s, retry: panicked: boom",
            "attempt 3 took 1 s, Complete",
            // 5 s more to stop in.
            "attempt 1 took 35 s, retry: timed out after 30s",
            "attempt 2 took 35 s, retry: timed out after 30s",
            "attempt 3 took 35 s, exhausted: timed out after 30s",
        ]
    );
    running.shutdown().await.unwrap();
}

/// Panics where it is told to.
struct Bomb(&'static str);

impl Bomb {
    fn at(&self, place: &str) {
        assert!(self.0 != place, "bomb at {place}");
    }
}

impl Middleware for Bomb {
    fn enqueue(&self, _: &mut NewJob) -> Result<(), EnqueueError> {
        self.at("enqueue");
        Ok(())
    }
    fn open(&self, _: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        self.at("open");
        Ok(payload)
    }
    fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        self.at("run");
        let inside = self.0 == "inside" && ctx.attempt() < 3;
        Box::pin(async move {
            assert!(!inside, "bomb inside");
            handler.await
        })
    }
    fn ended(&self, _: &JobContext, _: &Verdict, _: Duration) {
        self.at("ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_an_enqueue_stores_nothing() {
    let backend = memory();
    let client = Client::new(Arc::clone(&backend)).middleware(Bomb("enqueue"));
    let error = client.enqueue_all([Act { n: 1 }, Act { n: 2 }]).await.expect_err("refused");
    assert!(matches!(error, EnqueueError::Rejected(_)), "{error:?}");
    assert!(error.to_string().contains("Bomb panicked: bomb at enqueue"), "{error}");
    client.enqueue(Act { n: 1 }).prepare().expect_err("neither is it prepared");
    assert_eq!(backend.stats(&QUEUE).await.unwrap().ready, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_around_a_handler_is_a_failure_of_the_attempt() {
    for place in ["open", "run", "inside"] {
        let log = Log::default();
        let running = runtime(memory(), one(&log)).middleware(Bomb(place)).build().unwrap().start();
        running.client().enqueue(Act { n: 1 }).await.unwrap();
        until_drained(running.client()).await;
        let dead = dead(running.client()).await;
        if place == "inside" {
            assert_eq!((dead.len(), log.lines()), (0, vec!["1 attempt 3".to_owned()]));
        } else {
            let errors: Vec<_> = dead[0].errors.iter().map(|e| e.error.as_str()).collect();
            assert_eq!(errors, [format!("panicked: bomb at {place}").as_str(); 3]);
            assert_eq!(dead[0].dead_reason, Some(DeadReason::Exhausted));
        }
        running.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_end_leaves_the_verdict() {
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        seen.add(format!("{n}"));
        async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        }
    });
    let running = runtime(memory(), script).middleware(Bomb("ended")).build().unwrap().start();
    running.client().enqueue_all((0..20).map(|n| Act { n })).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(log.lines().len(), 20, "each runs once");
    until_drained(running.client()).await;
    assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0);
}

/// Cannot open the payload yet, or ever.
struct Locked(fn() -> JobError);

impl Middleware for Locked {
    fn open(&self, ctx: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        if ctx.attempt() < 2 { Err((self.0)()) } else { Ok(payload) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_is_retried_or_dead_as_the_error_says() {
    let log = Log::default();
    let later = runtime(memory(), one(&log)).middleware(Locked(|| "the key server is away".into()));
    let running = later.build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    assert_eq!(log.lines(), ["1 attempt 2"]);
    running.shutdown().await.unwrap();

    let never = runtime(memory(), one(&log)).middleware(Locked(|| JobError::permanent("no such key")));
    let running = never.build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until_drained(running.client()).await;
    let dead = dead(running.client()).await;
    assert_eq!(dead[0].dead_reason, Some(DeadReason::Undecodable));
    assert_eq!(dead[0].errors[0].error, "no such key");
    running.shutdown().await.unwrap();
}

fn key(id: &str, byte: u8) -> Keyring {
    Keyring::new(id, SecretKey::new([byte; 32])).expect("a good id")
}

/// Drains `backend` with this encryption: what ran, and the texts of what is dead.
async fn drain(backend: &Arc<dyn Operate>, encryption: Option<Encryption>) -> (Vec<String>, Vec<String>) {
    let log = Log::default();
    let mut builder = runtime(Arc::clone(backend), one(&log));
    if let Some(encryption) = encryption {
        builder = builder.middleware(encryption);
    }
    let running = builder.build().expect("builds").start();
    until_drained(running.client()).await;
    let mut dead = dead(running.client()).await;
    dead.sort_by_key(|j| j.id);
    assert!(dead.iter().all(|j| j.dead_reason == Some(DeadReason::Undecodable) && j.attempt == 1));
    running.shutdown().await.expect("the store answers");
    let texts = dead.iter().map(|j| j.errors.last().map(|e| e.error.clone()).unwrap_or_default());
    (log.lines(), texts.collect())
}

async fn replay(backend: &Arc<dyn Operate>) {
    let dead = backend.list(&ListFilter::new(QUEUE, JobState::Dead)).await.expect("the store answers").jobs;
    let ids: Vec<_> = dead.iter().map(|j| j.id).collect();
    assert!(backend.replay(&ids).await.expect("the store answers").iter().all(|replayed| *replayed));
}

#[tokio::test(start_paused = true)]
async fn keys_rotate_while_jobs_wait_and_replays_still_decrypt() {
    let backend = memory();
    let plain = Client::new(Arc::clone(&backend));
    let old = plain.clone().middleware(Encryption::new(key("2025", 1)));
    let rotated = key("2026", 2).older("2025", SecretKey::new([1; 32])).unwrap();
    let rotated = Encryption::new(rotated);
    let new = plain.clone().middleware(rotated.clone());
    for (n, client) in [&plain, &old, &new].into_iter().enumerate() {
        let id = client.enqueue(Act { n: n as u64 }).await.unwrap().id;
        let stored = backend.get(id).await.unwrap().expect("it waits").payload;
        assert_eq!(stored.starts_with(b"{"), n == 0, "only the first is stored in the clear");
    }

    // A runtime without keys, then one without the new key: nothing is lost, nothing is tried for ever.
    let (ran, dead) = drain(&backend, None).await;
    assert_eq!(ran, ["0 attempt 1"]);
    assert!(dead[0].contains("encrypted with the key \"2025\", and this runtime has no keyring"), "{dead:?}");
    replay(&backend).await;
    let (ran, dead) = drain(&backend, Some(Encryption::new(key("2025", 1)))).await;
    assert_eq!(ran, ["1 attempt 1"]);
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains("the key \"2026\", which is not in the keyring"), "{dead:?}");
    replay(&backend).await;
    assert_eq!(drain(&backend, Some(rotated)).await, (vec!["2 attempt 1".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_payload_moved_to_another_job_does_not_run() {
    let encryption = Encryption::new(key("k", 1));
    let backend = memory();
    let client = Client::new(Arc::clone(&backend)).middleware(encryption.clone());
    let jobs = [1, 2].map(|n| client.enqueue(Act { n }).prepare().unwrap());
    let [mut a, mut b] = jobs;
    std::mem::swap(&mut a.payload, &mut b.payload);
    client.enqueue_new(&[a.clone()]).await.expect_err("the client sees it too");
    // As somebody with access to the store could.
    let attacker = Client::new(Arc::clone(&backend));
    let honest = client.enqueue(Act { n: 3 }).prepare().unwrap();
    attacker.enqueue_new(&[a, b, honest]).await.unwrap();
    let (ran, dead) = drain(&backend, Some(encryption)).await;
    assert_eq!(ran, ["3 attempt 1"], "what was prepared with encryption is encrypted, and runs");
    assert_eq!(dead.len(), 2);
    assert!(dead.iter().all(|text| text.contains("belong to another job")), "{dead:?}");
}

#[tokio::test(start_paused = true)]
async fn required_encryption_runs_nothing_that_is_stored_in_the_clear() {
    let backend = memory();
    let encryption = Encryption::new(key("k", 1)).require();
    let plain = Client::new(Arc::clone(&backend));
    let client = plain.clone().middleware(encryption.clone());
    plain.enqueue(Act { n: 1 }).await.unwrap();
    plain.enqueue_new(&[client.enqueue(Act { n: 2 }).prepare().unwrap()]).await.unwrap();
    let (ran, dead) = drain(&backend, Some(encryption)).await;
    assert_eq!(ran, ["2 attempt 1"]);
    assert_eq!(dead, ["the arguments are not encrypted, and encryption is required here"]);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_payloads_is_for_what_the_user_gave() {
    let encryption = Encryption::new(key("k", 1));
    let client = Client::new(memory()).payload_max(r#"{"n":7}"#.len()).middleware(encryption);
    client.enqueue(Act { n: 7 }).await.unwrap();
    let error = client.enqueue(Act { n: 17 }).await.expect_err("one byte too many").to_string();
    assert!(
        error.contains("are 8 bytes, the limit is 7: store the data elsewhere and enqueue its id"),
        "{error}"
    );
}

/// Version 1 had no currency, version 2 called the amount `cents`.
#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    amount: u64,
    currency: String,
}

fn upgrade(from: u32, mut args: Value) -> Result<Value, String> {
    if from < 2 {
        args["currency"] = json!("EUR");
    }
    if from < 3 {
        args["amount"] = args["cents"].as_u64().ok_or("there is no `cents`")?.into();
    }
    Ok(args)
}

impl Job for Charge {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("charge"));
            spec.version = 3;
            spec.upgrade = Some(upgrade);
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        let log = ctx.state::<Log>().expect("the test gives one");
        log.add(format!("{} {} in attempt {}", self.amount, self.currency, ctx.attempt()));
        Ok(())
    }
}

fn stored(version: u32, args: &'static str) -> NewJob {
    let mut job = NewJob::new(Kind::from_static("charge"), QUEUE, args);
    job.version = version;
    job
}

#[tokio::test(start_paused = true)]
async fn older_arguments_run_after_an_upgrade_also_encrypted_ones() {
    let log = Log::default();
    let encryption = Encryption::new(key("k", 1));
    let builder = Runtime::builder(memory()).job::<Charge>().state(log.clone()).middleware(encryption);
    let running = builder.build().unwrap().start();
    let jobs = [
        stored(1, r#"{"cents": 100}"#),
        stored(2, r#"{"cents": 200, "currency": "CHF"}"#),
        stored(3, r#"{"amount": 300, "currency": "USD"}"#),
        stored(1, r#"{"euros": 4}"#),
    ];
    running.client().enqueue_new(&jobs).await.unwrap();
    until_drained(running.client()).await;
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["100 EUR in attempt 1", "200 CHF in attempt 1", "300 USD in attempt 1"]);
    let dead = dead(running.client()).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].dead_reason, Some(DeadReason::Undecodable));
    assert_eq!(dead[0].errors[0].error, "the arguments are of version 1: there is no `cents`");
    running.shutdown().await.unwrap();
}

/// In a deployment, or after a rollback: what newer code has stored waits for newer code.
#[tokio::test(start_paused = true)]
async fn a_newer_version_is_neither_run_nor_lost() {
    let backend = memory();
    let log = Log::default();
    let build = |backend: &Arc<dyn Operate>| {
        Runtime::builder(Arc::clone(backend)).job::<Charge>().state(log.clone()).build().unwrap()
    };
    let running = build(&backend).start();
    // It would decode, and mean something else.
    let newer = stored(4, r#"{"amount": 1, "currency": "EUR"}"#);
    running.client().enqueue_new(std::slice::from_ref(&newer)).await.unwrap();
    let record = async || backend.get(newer.id).await.unwrap().expect("it is kept");
    let began = Instant::now();
    until("it was looked at ten times", async || record().await.claims >= 10).await;
    // 1 s, 2 s, 4 s … 256 s, each shortened by half at most.
    assert!(began.elapsed() >= Duration::from_secs(255), "{:?}", began.elapsed());
    until("it was put off again", async || record().await.state == JobState::Scheduled).await;
    assert_eq!(record().await.attempt, 0, "no attempt is counted");
    assert!(log.lines().is_empty() && record().await.errors.is_empty());
    assert_eq!(record().await.payload, newer.payload);
    running.shutdown().await.unwrap();
}
