//! One job among a thousand kills every process that runs it. It ends dead, the others are done, and none of them is
//! blamed.

mod support;

use backend_memory::MemoryBackend;
use job_conformance::servers::PostgresServer;
use job_core::{
    Client, DeadReason, Job, JobContext, JobError, JobId, JobSpec, JobState, Kind, ListFilter, Operate,
    Queue, Runtime,
};
use serde::{Deserialize, Serialize};
use sqlx::{ConnectOptions as _, Executor as _};
use std::collections::BTreeSet;
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use steadfast::postgres::PostgresBackend;
use support::{QUEUE, until};

/// Jobs in all.
const JOBS: u64 = 1_000;
/// Which of them is the bad one.
const BAD: u64 = 500;
/// The bad one has this many crashes to its name when it is dead, and there was one before it was a suspect. Suspects
/// that ran beside it may cost a few more.
const CRASHES_MAX: u32 = 8;

/// What kills a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Abort,
    StackOverflow,
    OutOfMemory,
    /// Not the process, but everything in it.
    Told,
}

/// Does a little work, or kills its process.
#[derive(Debug, Serialize, Deserialize)]
struct Deed {
    n: u64,
    way: Option<Way>,
}

/// What the handler needs.
struct Hands {
    done: Mutex<File>,
    /// Who ends everything when told.
    death: Mutex<Option<Sender<()>>>,
}

impl Job for Deed {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("deed"));
            // Nobody but the crash accounting may end it.
            spec.max_attempts = 100;
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        let hands = ctx.state::<Hands>().expect("the worker gives it");
        match self.way {
            None => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                // In one write: an abort between a number and the end of its line would join two numbers.
                let line = format!("{}\n", self.n);
                hands.done.lock().expect("unpoisoned").write_all(line.as_bytes()).expect("it can be written");
            }
            Some(Way::Abort) => std::process::abort(),
            Some(Way::StackOverflow) => drop(black_box(deeper(1))),
            Some(Way::OutOfMemory) => hoard(),
            Some(Way::Told) => {
                hands.death.lock().expect("unpoisoned").take().map(|tell| tell.send(()));
                std::future::pending().await
            }
        }
        Ok(())
    }
}

fn deeper(n: u64) -> [u64; 64] {
    let mut room = black_box([n; 64]);
    if n > 0 {
        room[0] = deeper(n + 1)[63];
    }
    black_box(room)
}

/// Takes address space, not memory: the limit comes before the machine is full.
fn hoard() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(Vec::with_capacity(4 << 20)));
    }
}

fn runtime(backend: Arc<dyn Operate>, hands: Hands, lease: Duration) -> Runtime {
    let builder = Runtime::builder(backend).job::<Deed>().state(hands).lease(lease);
    builder
        .default_queue(Queue::concurrency(32))
        .poll_max(Duration::from_millis(100))
        .build()
        .expect("a good configuration")
}

async fn enqueue(client: &Client, way: Way) -> JobId {
    let deed = |n| Deed { n, way: (n == BAD).then_some(way) };
    let jobs = client.enqueue_all((0..JOBS).map(deed)).await.expect("enqueued");
    jobs[usize::try_from(BAD).expect("it fits")].id
}

/// Jobs that are not over.
async fn left(client: &Client) -> u64 {
    let stats = client.backend().stats(&QUEUE).await.expect("stats work");
    stats.ready + stats.running + stats.scheduled + stats.retrying
}

/// Everybody is where they belong.
async fn judge(client: &Client, bad: JobId, done: &Path, crashes: u32) {
    let dead = client.backend().list(&ListFilter::new(QUEUE, JobState::Dead)).await.expect("a list").jobs;
    let dead: Vec<_> = dead.iter().map(|j| (j.id, j.dead_reason)).collect();
    assert_eq!(dead, [(bad, Some(DeadReason::Poisoned))], "only the bad one is dead");
    let text = std::fs::read_to_string(done).expect("it was written");
    let done: BTreeSet<u64> = text.lines().map(|line| line.parse().expect("a number a line")).collect();
    let good: BTreeSet<u64> = (0..JOBS).filter(|n| *n != BAD).collect();
    assert_eq!(done, good, "all good ones were done");
    println!("{crashes} crashes, {} good jobs run {} times", good.len(), text.lines().count());
    assert!((3..=CRASHES_MAX).contains(&crashes), "{crashes} crashes");
}

/// A file for what good jobs did; gone with it.
struct Done(PathBuf);

impl Done {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("steadfast-poison-{}", job_core::LeaseId::random())))
    }

    fn open(path: &Path) -> Mutex<File> {
        Mutex::new(File::options().create(true).append(true).open(path).expect("a file can be written"))
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Set for a process that is a worker: where its jobs are, and where to write what was done.
const WORKER: [&str; 2] = ["STEADFAST_TEST_WORKER", "STEADFAST_TEST_DONE"];

/// Not a test but the worker, when a test starts this program for it.
#[test]
fn worker() {
    let [Ok(url), Ok(done)] = WORKER.map(std::env::var) else { return };
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = tokio.block_on(async {
        let hands = Hands { done: Done::open(Path::new(&done)), death: Mutex::default() };
        let backend = Arc::new(PostgresBackend::connect(&url).await.unwrap());
        runtime(backend, hands, Duration::from_secs(1)).run_until_signal().await
    });
    match ended {
        Ok(report) => assert_eq!(report.left_to_expire, 0),
        Err(error) => panic!("{error}"),
    }
}

/// Dropping it kills it.
struct Worker(Child);

impl Worker {
    fn start(url: &str, done: &Path) -> Self {
        // In KiB: what 8 threads and their allocator reserve is a fraction of it.
        let script = r#"ulimit -c 0; ulimit -v 3000000; exec "$0" "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(std::env::current_exe().expect("this program"));
        command.args(["worker", "--exact", "--nocapture"]).env(WORKER[0], url).env(WORKER[1], done);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("a shell can be started"))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it can be asked")
    }

    async fn until_ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "the worker ends");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn terminate(&self) {
        let pid =
            i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("it has not been waited for");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts workers, one after the other, until nothing is left to do.
async fn poison(way: Way) {
    let url = PostgresServer::shared().fresh_url();
    let done = Done::new();
    let client =
        Client::new(Arc::new(PostgresBackend::connect(&url).await.expect("connects")) as Arc<dyn Operate>);
    let bad = enqueue(&client, way).await;
    let mut crashes = 0;
    let began = Instant::now();
    let mut worker = Worker::start(&url, &done.0);
    loop {
        if let Some(status) = worker.ended() {
            assert_eq!(status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{status}");
            crashes += 1;
            worker = Worker::start(&url, &done.0);
        }
        let left = left(&client).await;
        if left == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{crashes} crashes, and {left} jobs are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.terminate();
    assert!(worker.until_ended().await.success(), "it survives what is left");
    judge(&client, bad, &done.0, crashes).await;
}

#[tokio::test]
async fn an_abort() {
    poison(Way::Abort).await;
}

#[tokio::test]
async fn a_stack_overflow() {
    poison(Way::StackOverflow).await;
}

#[tokio::test]
async fn out_of_memory() {
    poison(Way::OutOfMemory).await;
}

/// The embedded store dies with its process, so what dies here is a whole runtime of tokio, at one instant.
#[test]
fn in_memory() {
    let store: Arc<dyn Operate> = Arc::new(MemoryBackend::new());
    let client = Client::new(Arc::clone(&store));
    let done = Done::new();
    let tokio =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outside = tokio();
    let bad = outside.block_on(enqueue(&client, Way::Told));
    let began = Instant::now();
    for crashes in 0.. {
        assert!(crashes <= CRASHES_MAX, "too many crashes");
        let process = tokio();
        let (tell, told) = channel();
        let hands = Hands { done: Done::open(&done.0), death: Mutex::new(Some(tell)) };
        let running = {
            let _inside = process.enter();
            runtime(Arc::clone(&store), hands, Duration::from_millis(500)).start()
        };
        let died = loop {
            if told.recv_timeout(Duration::from_millis(10)).is_ok() {
                break true;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{crashes} crashes, and it is not drained");
            if outside.block_on(left(&client)) == 0 {
                break false;
            }
        };
        if died {
            process.shutdown_background();
            continue;
        }
        process.block_on(running.shutdown()).unwrap();
        outside.block_on(judge(&client, bad, &done.0, crashes));
        return;
    }
}

/// A worker that cannot go on ends by itself, and says so to whoever started it.
#[tokio::test]
async fn a_store_that_is_gone_ends_the_worker_with_an_error() {
    let url = PostgresServer::shared().fresh_url();
    let (done, schema) = (Done::new(), url.split("schema=").nth(1).expect("it has one"));
    let client = Client::new(Arc::new(PostgresBackend::connect(&url).await.unwrap()) as Arc<dyn Operate>);
    client.enqueue(Deed { n: 1, way: None }).await.unwrap();
    let mut worker = Worker::start(&url, &done.0);
    until("it works", async || done.0.exists() && std::fs::read(&done.0).is_ok_and(|d| !d.is_empty())).await;
    let options: sqlx::postgres::PgConnectOptions = PostgresServer::shared().url().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("drop schema {schema} cascade"))).await.unwrap();
    let status = worker.until_ended().await;
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}
