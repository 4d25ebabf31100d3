//! The server goes away: killed, restarted, frozen, or connections ended; and wake-ups with and without LISTEN.

mod support;

use backend_postgres::PostgresBackend;
use job_conformance::servers::{PostgresServer, when_back};
use job_core::{Backend, BackendError, Effect, JobId, Kind, NewJob, QueueName, Settled, Settlement, Verdict};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use support::server;
use support::store::request;
use tokio::time::{Instant, timeout};

static QUEUE: QueueName = QueueName::from_static("q");
const KIND: Kind = Kind::from_static("k");
const PATIENCE: Duration = Duration::from_secs(30);

fn job() -> NewJob {
    NewJob::new(KIND, QUEUE.clone(), "{}")
}

async fn enqueue_one(backend: &PostgresBackend) -> Result<(), BackendError> {
    backend.enqueue(&[job()]).await.map(drop)
}

async fn claim(backend: &PostgresBackend, limit: u32) -> Result<Vec<job_core::ClaimedJob>, BackendError> {
    Ok(backend.claim(&QUEUE, &request(&[KIND], limit)).await?.jobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_jobs_survive_a_killed_server() {
    let server = PostgresServer::start();
    let backend = PostgresBackend::connect(&server.fresh_url()).await.expect("connects");
    let done = job();
    backend.enqueue(std::slice::from_ref(&done)).await.expect("enqueue works");
    let held = claim(&backend, 1).await.expect("claim works").remove(0).hold;
    let settlement = [Settlement::new(held, Verdict::Complete)];
    assert_eq!(backend.settle(&QUEUE, &settlement).await.expect("settle works"), [Settled::Applied]);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut unknown: Vec<NewJob> = Vec::new();
        let producer = async {
            loop {
                let new = job();
                match backend.enqueue(std::slice::from_ref(&new)).await {
                    Ok(_) => acknowledged.push(new.id),
                    Err(error) => {
                        if error.effect() == Effect::Unknown {
                            unknown.push(new);
                        }
                        return;
                    }
                }
            }
        };
        let killer = async {
            tokio::time::sleep(Duration::from_millis(100 + 50 * round)).await;
            tokio::task::block_in_place(|| server.kill9());
        };
        tokio::join!(producer, killer);
        tokio::task::block_in_place(|| server.start_again());
        for new in unknown {
            // The same job again: one, whatever became of the first call.
            when_back(PATIENCE, || backend.enqueue(std::slice::from_ref(&new))).await;
            acknowledged.push(new.id);
        }
    }
    let again = when_back(PATIENCE, || backend.settle(&QUEUE, &settlement)).await;
    assert_eq!(again, [Settled::AlreadyApplied], "a settled job stays settled");
    let mut found: Vec<JobId> = Vec::new();
    loop {
        let jobs = when_back(PATIENCE, || claim(&backend, 1_000)).await;
        if jobs.is_empty() {
            break;
        }
        found.extend(jobs.iter().map(|j| j.hold.job));
    }
    found.sort_unstable();
    acknowledged.sort_unstable();
    assert!(acknowledged.len() > 10, "{} jobs say little", acknowledged.len());
    assert_eq!(found, acknowledged);
}

/// A connection that the server ends in the middle of a call: nobody knows whether it was applied.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_call_that_was_cut_off_is_unknown() {
    use sqlx::{AssertSqlSafe, Connection};
    let url = server().fresh_url();
    let ready = format!("{}.ready", url.rsplit_once("schema=").expect("it has a schema").1);
    let backend = PostgresBackend::connect(&url).await.expect("connects");
    enqueue_one(&backend).await.expect("enqueue works");
    let mut other = sqlx::PgConnection::connect(&server().url()).await.expect("connects");
    let mut tx = other.begin().await.expect("begins");
    let lock = AssertSqlSafe(format!("lock table {ready} in access exclusive mode"));
    sqlx::raw_sql(lock).execute(&mut *tx).await.expect("locks");
    let call = tokio::spawn(async move { enqueue_one(&backend).await });
    let end = format!(
        "select count(pg_terminate_backend(pid)) from pg_locks where relation = '{ready}'::regclass and not granted"
    );
    let deadline = Instant::now() + PATIENCE;
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(end.clone())).fetch_one(&mut *tx).await.expect("n") == 0
    {
        assert!(Instant::now() < deadline, "the call never waited");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = call.await.expect("no panic").expect_err("it was cut off");
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
}

/// The server stops for a while: calls wait or fail as transient, and everything works again by itself, wake-ups too.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_passes() {
    let server = PostgresServer::options().fast().start();
    let url = server.fresh_url();
    let backend = PostgresBackend::connect(&url).await.expect("connects");
    let other = PostgresBackend::connect(&url).await.expect("connects");
    backend.enqueue(&[job()]).await.expect("enqueue works");
    let waiting = tokio::spawn({
        let backend = backend.clone();
        async move { backend.wait(&QUEUE).await }
    });
    timeout(PATIENCE, waiting)
        .await
        .expect("woken by the listener's start or the job")
        .expect("no panic")
        .expect("ok");
    tokio::task::block_in_place(|| server.kill9());
    let error = other.enqueue(&[job()]).await.expect_err("nobody is there");
    assert!(error.is_transient(), "{error}");
    tokio::task::block_in_place(|| server.start_again());
    when_back(PATIENCE, || enqueue_one(&other)).await;
    // The listener comes back with jitter; every enqueue is a new chance to be heard.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let wait = timeout(Duration::from_millis(300), backend.wait(&QUEUE));
        let (woken, _) = tokio::join!(wait, enqueue_one(&other));
        if woken.is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "the listener did not come back");
    }
    assert!(!claim(&backend, 100).await.expect("claim works").is_empty());
}

/// An enqueue in one process wakes another, at once for the first of a burst and at its end for the last.
#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_wakes_other_processes() {
    let url = server().fresh_url();
    let (producer, worker) = (
        PostgresBackend::connect(&url).await.expect("connects"),
        PostgresBackend::connect(&url).await.expect("connects"),
    );
    let mut taken = 0;
    let mut sent = 0;
    let deadline = Instant::now() + PATIENCE;
    // The first waits may end because the listener starts; after that only notifications end them.
    while taken < 60 {
        assert!(Instant::now() < deadline, "{taken} of {sent} jobs heard of");
        if sent < 60 {
            for _ in 0..3 {
                producer.enqueue(&[job()]).await.expect("enqueue works");
                sent += 1;
            }
        }
        timeout(PATIENCE, worker.wait(&QUEUE)).await.expect("woken").expect("ok");
        taken += claim(&worker, 100).await.expect("claim works").len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_the_user_wakes_workers_when_it_commits() {
    use sqlx::Connection;
    let url = server().fresh_url();
    let producer = PostgresBackend::connect(&url).await.expect("connects");
    let worker = PostgresBackend::connect(&url).await.expect("connects");
    // Until the listener is there.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let wait = timeout(Duration::from_millis(300), worker.wait(&QUEUE));
        let (woken, _) = tokio::join!(wait, enqueue_one(&producer));
        if woken.is_ok() && !claim(&worker, 100).await.expect("claim works").is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "no listener");
    }
    let mut connection = sqlx::PgConnection::connect(&server().url()).await.expect("connects");
    let new = job();
    let deadline = Instant::now() + PATIENCE;
    let mut tx = connection.begin().await.expect("begins");
    producer.enqueue_tx(&mut tx, std::slice::from_ref(&new)).await.expect("enqueue_tx works");
    assert!(claim(&worker, 100).await.expect("claim works").iter().all(|j| j.hold.job != new.id), "not yet");
    tx.commit().await.expect("commits");
    loop {
        timeout(deadline - Instant::now(), worker.wait(&QUEUE))
            .await
            .expect("woken by the commit")
            .expect("ok");
        if claim(&worker, 100).await.expect("claim works").iter().any(|j| j.hold.job == new.id) {
            return;
        }
    }
}

/// Without LISTEN nothing wakes anybody in another process, and nothing is sent.
#[tokio::test]
async fn polling_alone_never_listens() {
    let url = format!("{}&listen=false", server().fresh_url());
    let producer = PostgresBackend::connect(&url).await.expect("connects");
    let worker = PostgresBackend::connect(&url).await.expect("connects");
    let wait = timeout(Duration::from_millis(500), worker.wait(&QUEUE));
    let (woken, _) = tokio::join!(wait, enqueue_one(&producer));
    assert!(woken.is_err(), "there is no listener");
    assert_eq!(claim(&worker, 10).await.expect("claim works").len(), 1, "but polling finds the job");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_one_after_the_other_share_a_connection() {
    let server = PostgresServer::options().fast().start();
    // No wake-ups, which are sent beside the next call.
    let url = format!("{}&listen=false", server.fresh_url());
    let backend = PostgresBackend::connect(&url).await.expect("connects");
    for _ in 0..50 {
        enqueue_one(&backend).await.expect("enqueue works");
    }
    let mut other = PgConnection::connect(&server.url()).await.expect("connects");
    let sql = "select count(*) from pg_stat_activity where application_name = 'steadfast' and query like '%.enqueue(%'";
    let used: i64 = sqlx::query_scalar(sql).fetch_one(&mut other).await.expect("a number");
    assert_eq!(used, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_serve_many_calls() {
    let url = format!("{}&pool=2", server().fresh_url());
    let backend = PostgresBackend::connect(&url).await.expect("connects");
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { enqueue_one(&backend).await })
        })
        .collect();
    for call in calls {
        call.await.expect("it does not panic").expect("enqueue works");
    }
    assert_eq!(claim(&backend, 1_000).await.expect("claim works").len(), 200);
}

#[test]
fn a_backend_may_outlive_its_runtime() {
    let url = server().fresh_url();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let backend = runtime.block_on(async {
        let backend = PostgresBackend::connect(&url).await.expect("connects");
        enqueue_one(&backend).await.expect("enqueue works");
        backend
    });
    drop(runtime);
    // Outside of any runtime.
    drop(backend);
}
