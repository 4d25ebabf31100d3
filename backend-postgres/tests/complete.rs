//! Completion in a transaction of the application: its work, the verdict and the jobs that follow, all or none.

mod support;

use backend_postgres::PostgresBackend;
use job_core::{
    Backend, ClaimRequest, ClaimedJob, Hold, Job, JobContext, JobError, JobResult, JobSpec, JobState, Kind,
    LeaseId, LeaseStatus, Limit, LimitName, MaintainRequest, NewJob, Operate, Queue, QueueName,
    RunningRuntime, Runtime, WorkerId,
};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::server;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

static QUEUE: QueueName = QueueName::from_static("q");
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handler of a [`Book`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Commit,
    /// The first attempt rolls back and says `Ok` all the same.
    ForgetOnce,
    /// The first attempt fails after the completion was made part of its transaction.
    FailOnce,
    /// The first attempt commits and then fails.
    CommitAndFail,
}

/// Books a row, in the transaction in which it completes, and announces a job that books another.
#[derive(Debug, Serialize, Deserialize)]
struct Book {
    n: i64,
    way: Way,
}

fn ledger_limit() -> LimitName {
    LimitName::new("ledger").expect("valid")
}

struct Ledger {
    backend: PostgresBackend,
    url: String,
    table: String,
    attempts: Mutex<Vec<(i64, u32)>>,
}

impl Job for Book {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("book"));
            spec.queue = QUEUE.clone();
            spec.limits.names = vec![ledger_limit()];
            spec.backoff = job_core::Backoff::Fixed(Duration::from_millis(10));
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> JobResult {
        let ledger = ctx.state::<Ledger>().expect("the test gives one");
        ledger.attempts.lock().expect("unpoisoned").push((self.n, ctx.attempt()));
        if self.n < 100 {
            ctx.then(Book { n: self.n + 100, way: Way::Commit })?;
        }
        let mut connection = PgConnection::connect(&ledger.url).await?;
        let mut tx = connection.begin().await?;
        ledger.book(&mut tx, self.n).await?;
        ledger.backend.complete_tx(&mut tx, &ctx).await?;
        let first = ctx.attempt() == 1;
        match self.way {
            Way::ForgetOnce if first => tx.rollback().await?,
            Way::FailOnce if first => return Err("fails before its commit".into()),
            Way::CommitAndFail if first => {
                tx.commit().await?;
                return Err("fails after its commit".into());
            }
            _ => tx.commit().await?,
        }
        Ok(())
    }
}

impl Ledger {
    async fn new() -> Self {
        let url = server().fresh_url();
        let backend = PostgresBackend::connect(&url).await.expect("connects");
        let schema =
            url.split(['?', '&']).find_map(|o| o.strip_prefix("schema=")).expect("it names a schema");
        let ledger = Self { backend, table: format!("\"{schema}\".booked"), url, attempts: Mutex::default() };
        ledger.execute(&format!("create table {} (n bigint)", ledger.table)).await;
        ledger
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("connects")
    }

    async fn execute(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::query(sql).execute(&mut self.connection().await).await.expect("it works");
    }

    async fn book(&self, connection: &mut PgConnection, n: i64) -> Result<(), sqlx::Error> {
        let sql = sqlx::AssertSqlSafe(format!("insert into {} values ($1)", self.table));
        sqlx::query(sql).bind(n).execute(connection).await.map(drop)
    }

    async fn booked(&self) -> Vec<i64> {
        let sql = sqlx::AssertSqlSafe(format!("select n from {} order by n", self.table));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.expect("it works")
    }

    async fn claim(&self, lease: LeaseId, lasts: Duration) -> Vec<ClaimedJob> {
        let request = ClaimRequest {
            lease,
            worker: WorkerId::random(),
            kinds: &[Kind::from_static("book")],
            limit: 10,
            lease_for: lasts,
            suspect_leases: &[LeaseId::random()],
            solo: true,
            ahead: &[],
        };
        self.backend.claim(&QUEUE, &request).await.expect("claim works").jobs
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs one job of this way to its end, and what follows.
async fn run(way: Way) -> (Arc<Ledger>, Vec<i64>) {
    let ledger = Arc::new(Ledger::new().await);
    let running: RunningRuntime = Runtime::builder(ledger.backend.clone())
        .job::<Book>()
        .state_arc(Arc::clone(&ledger))
        .limit("ledger", Limit::concurrency(8).adaptive(1))
        .queue("q", Queue::concurrency(2))
        .build()
        .expect("builds")
        .start();
    running.client().enqueue(Book { n: 1, way }).await.expect("enqueue works");
    until("the queue is empty", async || {
        let stats = ledger.backend.stats(&QUEUE).await.expect("stats work");
        stats.ready + stats.running + stats.scheduled + stats.retrying == 0
    })
    .await;
    running.shutdown().await.expect("it ends");
    let booked = ledger.booked().await;
    (ledger, booked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_the_completion_and_what_follows_are_one() {
    let (ledger, booked) = run(Way::Commit).await;
    assert_eq!(booked, [1, 101]);
    assert_eq!(*ledger.attempts.lock().unwrap(), [(1, 1), (101, 1)]);
    let limits = ledger.backend.limits().await.expect("limits work");
    let adapted = limits.iter().find(|l| l.name == ledger_limit()).and_then(|l| l.adapted);
    assert_eq!(adapted, Some(8), "nothing has failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_rolled_back_completes_nothing() {
    let (ledger, booked) = run(Way::ForgetOnce).await;
    assert_eq!(booked, [1, 101], "booked by the second attempt alone");
    assert_eq!(*ledger.attempts.lock().unwrap(), [(1, 1), (1, 2), (101, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_leaves_nothing() {
    let (ledger, booked) = run(Way::FailOnce).await;
    assert_eq!(booked, [1, 101]);
    assert_eq!(*ledger.attempts.lock().unwrap(), [(1, 1), (1, 2), (101, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_done_whatever_the_handler_says_afterwards() {
    let (ledger, booked) = run(Way::CommitAndFail).await;
    assert_eq!(booked, [1, 101]);
    assert_eq!(*ledger.attempts.lock().unwrap(), [(1, 1), (101, 1)]);
}

/// The rows of a lease as `complete_in` is given them.
async fn complete_in(ledger: &Ledger, tx: &mut PgConnection, hold: &Hold) -> i32 {
    let schema = ledger.table.split('.').next().expect("it has a schema");
    let [lane, seq, top] = hold.locator;
    let sql = format!("select {schema}.complete_in('q', $1, $2, $3, $4, $5)");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(hold.job.as_uuid())
        .bind(i32::try_from(lane & 0x7fff_ffff).expect("31 bits"))
        .bind(seq)
        .bind(top)
        .bind(hold.lease.as_uuid())
        .fetch_one(tx)
        .await
        .expect("it works")
}

/// While such a transaction is open, the lease can be extended and its other jobs settled; and a reap of the lease takes the
/// others and leaves this one, without waiting.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_up_nobody_else() {
    let ledger = Ledger::new().await;
    let jobs: Vec<_> = (0..3).map(|_| NewJob::new(Kind::from_static("book"), QUEUE.clone(), "{}")).collect();
    ledger.backend.enqueue(&jobs).await.expect("enqueue works");
    let lease = LeaseId::random();
    let held = ledger.claim(lease, Duration::from_millis(50)).await;
    let mut connection = ledger.connection().await;
    let mut tx = connection.begin().await.expect("begins");
    assert_eq!(complete_in(&ledger, &mut tx, &held[0].hold).await, 0);
    let at_once = async {
        let extended = ledger.backend.extend(&QUEUE, &[lease], Duration::from_millis(50)).await;
        assert_eq!(extended.expect("extend works").leases, [LeaseStatus::Held]);
        let settlement = job_core::Settlement::new(held[1].hold, job_core::Verdict::Complete);
        let settled = ledger.backend.settle(&QUEUE, &[settlement]).await.expect("settle works");
        assert_eq!(settled, [job_core::Settled::Applied]);
        until("the third job comes back", async || {
            let done = ledger.backend.maintain(&QUEUE, &MaintainRequest::default()).await;
            done.expect("maintain works").jobs_returned == 1
        })
        .await;
    };
    tokio::time::timeout(Duration::from_secs(10), at_once).await.expect("nobody waits for the transaction");
    tx.commit().await.expect("commits");
    assert!(ledger.backend.get(held[0].hold.job).await.expect("get works").is_none(), "completed");
    let back = ledger.claim(LeaseId::random(), PATIENCE).await;
    assert_eq!(back.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [held[2].hold.job]);
}

/// A worker that lost its lease completes nothing; one that repeats itself is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_completes_nothing() {
    let ledger = Ledger::new().await;
    let new = NewJob::new(Kind::from_static("book"), QUEUE.clone(), "{}");
    ledger.backend.enqueue(std::slice::from_ref(&new)).await.expect("enqueue works");
    let old = ledger.claim(LeaseId::random(), Duration::from_millis(50)).await.remove(0).hold;
    until("the lease is ended", async || {
        let done = ledger.backend.maintain(&QUEUE, &MaintainRequest::default()).await;
        done.expect("maintain works").leases_reaped == 1
    })
    .await;
    let mut connection = ledger.connection().await;
    assert_eq!(complete_in(&ledger, &mut connection, &old).await, 2, "before the next claim");
    let now = ledger.claim(LeaseId::random(), PATIENCE).await.remove(0).hold;
    assert_eq!(complete_in(&ledger, &mut connection, &old).await, 2, "and after it");
    let record = ledger.backend.get(new.id).await.expect("get works").expect("it is there");
    assert_eq!(record.state, JobState::Running);
    assert_eq!(complete_in(&ledger, &mut connection, &now).await, 0);
    assert_eq!(complete_in(&ledger, &mut connection, &now).await, 1, "repeated");
}

/// A worker that dies inside of its transaction has done nothing, and the job runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_dead_worker_is_as_if_it_never_was() {
    let ledger = Arc::new(Ledger::new().await);
    let new = NewJob::new(Kind::from_static("book"), QUEUE.clone(), "{}");
    ledger.backend.enqueue(std::slice::from_ref(&new)).await.expect("enqueue works");
    let hold = ledger.claim(LeaseId::random(), Duration::from_millis(50)).await.remove(0).hold;
    let (inside, die) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = tokio::spawn({
        let (ledger, inside, die) = (Arc::clone(&ledger), Arc::clone(&inside), Arc::clone(&die));
        async move {
            let mut connection = ledger.connection().await;
            let mut tx = connection.begin().await.expect("begins");
            ledger.book(&mut tx, 1).await.expect("books");
            assert_eq!(complete_in(&ledger, &mut tx, &hold).await, 0);
            inside.notify_one();
            die.notified().await;
        }
    });
    inside.notified().await;
    die.notify_one();
    worker.await.expect("it ends");
    until("the job comes back", async || {
        ledger.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("works").jobs_returned == 1
    })
    .await;
    assert_eq!(ledger.booked().await, [0; 0]);
    assert_eq!(ledger.claim(LeaseId::random(), PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn the_context_of_a_unit_test_is_refused() {
    let ledger = Ledger::new().await;
    let mut connection = ledger.connection().await;
    let error: JobError =
        ledger.backend.complete_tx(&mut connection, &JobContext::test()).await.expect_err("refused");
    assert!(error.report().contains("needs the context"), "{error}");
}
