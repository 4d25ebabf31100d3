//! Handlers that never wait keep every thread of the runtime busy, and yet no lease runs out.

mod support;

use backend_memory::MemoryBackend;
use job_conformance::servers::PostgresServer;
use job_core::{MaintainRequest, Operate, RunningRuntime};
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use steadfast::postgres::PostgresBackend;
use support::{Act, Fault, Faulty, Log, QUEUE, Script, runtime, until, until_drained};
use tokio::runtime::{Builder, Runtime as Tokio};

const LEASE: Duration = Duration::from_secs(1);
/// How long the handlers keep their threads.
const BUSY: Duration = Duration::from_secs(3);

/// The tests look at threads and warnings of the process, so they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

static SAID: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Ear;

impl io::Write for Ear {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
        Ok(text.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of the log with this text since the last call.
fn said(text: &str) -> Vec<String> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Ear).init());
    let said = std::mem::take(&mut *SAID.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8_lossy(&said).lines().filter(|l| l.contains(text)).map(str::to_owned).collect()
}

/// The length in a warning of the watchdog.
fn stall(line: &str) -> Option<Duration> {
    let length = line.split("stalled_for=").nth(1)?.split('s').next()?;
    length.parse().ok().map(Duration::from_secs_f64)
}

/// Threads of this process with this name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    tasks.filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|c| c.trim() == name)).count()
}

async fn until_gone(name: &str) {
    until(name, async || threads(name) == 0).await;
}

/// Starts a worker whose handlers spin, one on each of `busy` threads.
fn spin(tokio: &Tokio, backend: Arc<dyn Operate>, log: &Log, busy: u64) -> RunningRuntime {
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        let seen = seen.clone();
        async move {
            seen.add(format!("run {n};"));
            let began = Instant::now();
            while began.elapsed() < BUSY {
                std::hint::spin_loop();
            }
            Ok(())
        }
    });
    tokio.block_on(async {
        let worker = runtime(backend, script).lease(LEASE).build().expect("a good configuration").start();
        worker.client().enqueue_all((0..busy).map(|n| Act { n })).await.expect("enqueued");
        worker
    })
}

/// Looks for leases that have run out, as any other process does, until no handler runs. Returns how many it found.
async fn reap(other: &dyn Operate) -> u64 {
    let mut reaped = 0;
    let request = MaintainRequest { reap: true, ..MaintainRequest::default() };
    let deadline = Instant::now() + BUSY + Duration::from_secs(20);
    while other.stats(&QUEUE).await.expect("stats work").running > 0 {
        assert!(Instant::now() < deadline, "the handlers end");
        reaped += other.maintain(&QUEUE, &request).await.expect("it can be maintained").leases_reaped;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reaped
}

/// Two handlers on the two threads of a runtime; `connect` is called by the worker and by the other process.
fn no_lease_runs_out<F>(connect: impl Fn() -> F)
where
    F: Future<Output = Arc<dyn Operate>>,
{
    said("");
    let log = Log::default();
    let worker_side = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let other_side = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let backend = worker_side.block_on(connect());
    let worker = spin(&worker_side, backend, &log, 2);
    let reaped = other_side.block_on(async {
        let other = connect().await;
        until("both handlers spin", async || log.count("run") == 2).await;
        assert_eq!(threads("steadfast-lease"), 1);
        let probe = worker_side.spawn(async { Instant::now() });
        let asked = Instant::now();
        let reaped = reap(&*other).await;
        let stalled = probe.await.expect("it runs").duration_since(asked);
        assert!(stalled > 2 * LEASE, "the runtime ran a task after {stalled:?}: this proves nothing");
        reaped
    });
    assert_eq!(reaped, 0, "a lease ran out");
    let report = worker_side.block_on(async {
        until_drained(worker.client()).await;
        worker.shutdown().await.expect("a clean end")
    });
    assert_eq!(report.left_to_expire, 0);
    assert_eq!(log.lines().len(), 2, "each ran once: {:?}", log.lines());
    assert_eq!(threads("steadfast-lease"), 0, "the shutdown waits for its thread");
    // A loaded machine may stall the runtime for a moment, too.
    let warnings = said(" WARN ");
    let long: Vec<_> = warnings.iter().filter_map(|w| stall(w)).filter(|length| *length > BUSY / 2).collect();
    assert!(long.len() == 1 && long[0] < 2 * BUSY, "one warning for one stall: {warnings:?}");
}

#[test]
fn in_memory() {
    let _alone = alone();
    let store = Arc::new(MemoryBackend::new());
    no_lease_runs_out(|| {
        let store = Arc::clone(&store);
        async move { store as Arc<dyn Operate> }
    });
}

#[test]
fn on_postgres() {
    let _alone = alone();
    let url = PostgresServer::shared().fresh_url();
    no_lease_runs_out(|| async {
        Arc::new(PostgresBackend::connect(&url).await.unwrap()) as Arc<dyn Operate>
    });
}

/// The limit that is documented, and the proof that the tests above can fail.
#[test]
fn a_current_thread_runtime_has_no_thread_to_spare() {
    let _alone = alone();
    let store: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
    let log = Log::default();
    let (tokio, other_side) = (
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_current_thread().enable_all().build().unwrap(),
    );
    let worker = spin(&tokio, Arc::clone(&store), &log, 1);
    let drained = std::thread::spawn(move || {
        tokio.block_on(async {
            until_drained(worker.client()).await;
            worker.shutdown().await.unwrap();
        });
    });
    let reaped = other_side.block_on(async {
        until("it spins", async || log.count("run") == 1).await;
        reap(&*store).await
    });
    assert_eq!(reaped, 1, "nobody extended it");
    drained.join().unwrap();
}

#[test]
fn threads_end_with_what_they_are_for() {
    let _alone = alone();
    let url = PostgresServer::shared().fresh_url();
    let tokio = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    tokio.block_on(async {
        let backend = PostgresBackend::connect(&url).await.unwrap();
        let copy = backend.clone();
        let start = |backend: PostgresBackend| {
            let script = Script::new(|_, _| async { Ok(()) });
            runtime(Arc::new(backend), script).build().unwrap()
        };
        // Dropped, not shut down; and never run.
        drop(start(backend.clone()).start());
        drop(start(backend.clone()));
        let cut_off = start(backend.clone()).run_until(std::future::pending());
        tokio::time::timeout(Duration::from_millis(300), cut_off).await.expect_err("it runs on");
        drop(backend);
        until_gone("steadfast-lease").await;
        assert_eq!(threads("steadfast-pg"), 1, "a clone is left");
        drop(copy);
        until_gone("steadfast-pg").await;
    });
}

/// Connections that extend belong to the backend, not to the thread of the runtime that used them first.
#[test]
fn a_backend_outlives_the_threads_of_its_runtimes() {
    let _alone = alone();
    said("");
    let url = PostgresServer::shared().fresh_url();
    let tokio = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let backend: Arc<dyn Operate> = Arc::new(PostgresBackend::connect(&url).await.unwrap());
        for n in 0..3 {
            let script = Script::new(|_, _| async {
                tokio::time::sleep(2 * LEASE).await;
                Ok(())
            });
            let worker = runtime(Arc::clone(&backend), script).lease(LEASE).build().unwrap().start();
            worker.client().enqueue(Act { n }).await.unwrap();
            until_drained(worker.client()).await;
            assert_eq!(worker.shutdown().await.unwrap().left_to_expire, 0);
        }
    });
    let warnings = said(" WARN ");
    assert!(!warnings.iter().any(|w| w.contains("extend")), "{warnings:?}");
}

/// It was claimed, but no thread was free to start it until its lease had run out.
#[test]
fn a_job_that_waited_for_a_thread_longer_than_its_lease_is_not_started() {
    let _alone = alone();
    let cut = Arc::new(AtomicBool::new(true));
    let fault = Arc::clone(&cut);
    let store = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| {
        if operation == "extend" && fault.load(Ordering::SeqCst) { Fault::Hang } else { Fault::None }
    });
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, ctx| {
        let (seen, claims) = (seen.clone(), ctx.fencing_token().claims);
        async move {
            seen.add(format!("claim {claims} of job {n}"));
            let began = Instant::now();
            while claims == 1 && began.elapsed() < BUSY {
                std::hint::spin_loop();
            }
            Ok(())
        }
    });
    let tokio = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    tokio.block_on(async {
        let client = job_core::Client::new(Arc::clone(&store));
        client.enqueue_all((0..2).map(|n| Act { n })).await.unwrap();
        let worker = runtime(store, script).lease(LEASE).build().unwrap().start();
        until("one was claimed again", async || log.count("claim 2") > 0).await;
        cut.store(false, Ordering::SeqCst);
        until_drained(&client).await;
        worker.shutdown().await.unwrap();
    });
    assert_eq!(log.count("claim 1"), 1, "one spun, the other was never started: {:?}", log.lines());
}

/// A claim that is answered late leaves its jobs to the lease keeper, which starts them when their lease is extended.
#[test]
fn no_handler_runs_on_the_keepers_thread() {
    let _alone = alone();
    let tokio = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let first = AtomicBool::new(true);
    let backend = Faulty::over(Arc::new(MemoryBackend::new()), move |operation| {
        // Half of the lease: too late to start what it covers before an extension.
        let late = operation == "claim" && first.swap(false, Ordering::SeqCst);
        if late { Fault::Late(LEASE / 2) } else { Fault::None }
    });
    let log = Log::default();
    let seen = log.clone();
    let script = Script::new(move |n, _| {
        let on_keepers = std::thread::current().name() == Some("steadfast-lease");
        seen.add(format!("{n} {on_keepers}"));
        async { Ok(()) }
    });
    tokio.block_on(async {
        let client = job_core::Client::new(Arc::clone(&backend));
        client.enqueue(Act { n: 1 }).await.expect("stored");
        let worker = runtime(backend, script).lease(LEASE).build().expect("a good configuration").start();
        until_drained(&client).await;
        worker.shutdown().await.expect("a clean end");
    });
    assert_eq!(log.lines(), ["1 false"]);
}
