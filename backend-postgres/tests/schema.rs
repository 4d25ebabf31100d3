//! Connecting: migrations, schemas, roles, and what is refused.

mod support;

use backend_postgres::PostgresBackend;
use job_core::{
    Backend, ClaimRequest, DurabilityClass, ErrorKind, Kind, LeaseId, NewJob, QueueName, Settled, Settlement,
    Verdict, WorkerId,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use support::server;

const QUEUE: QueueName = QueueName::from_static("q");
const KIND: Kind = Kind::from_static("k");

async fn connection() -> PgConnection {
    PgConnection::connect(&server().url()).await.expect("the server answers")
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

fn schema_of(url: &str) -> String {
    url.rsplit_once("schema=").expect("it has a schema").1.to_owned()
}

/// Enqueues, claims and completes one job.
async fn use_once(backend: &PostgresBackend) {
    let job = NewJob::new(KIND, QUEUE, "{}");
    backend.enqueue(std::slice::from_ref(&job)).await.expect("enqueue works");
    let request = ClaimRequest {
        lease: LeaseId::random(),
        worker: WorkerId::random(),
        kinds: &[KIND],
        limit: 10,
        lease_for: Duration::from_secs(30),
        suspect_leases: &[],
        solo: false,
        ahead: &[],
    };
    let claim = backend.claim(&QUEUE, &request).await.expect("claim works");
    assert_eq!(claim.jobs.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [job.id]);
    let done = [Settlement::new(claim.jobs[0].hold, Verdict::Complete)];
    assert_eq!(backend.settle(&QUEUE, &done).await.expect("settle works"), [Settled::Applied]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_may_migrate_at_once() {
    let url = server().fresh_url();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let url = url.clone();
        all.spawn(async move { PostgresBackend::connect(&url).await });
    }
    while let Some(backend) = all.join_next().await {
        let backend = backend.expect("no panic").expect("every process connects");
        drop(backend);
    }
    use_once(&PostgresBackend::connect(&url).await.expect("connects")).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let url = server().fresh_url();
    PostgresBackend::connect(&url).await.expect("connects");
    let schema = schema_of(&url);
    let mut connection = connection().await;
    execute(&mut connection, format!("insert into {schema}.migration (version) values (999)"))
        .await
        .expect("inserts");
    let error = PostgresBackend::connect(&url).await.expect_err("it is newer");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(error.to_string().contains("newer version of Steadfast"), "{error}");
}

#[tokio::test]
async fn a_hostile_schema_name_is_refused_before_anything_is_sent() {
    for name in ["a\"; drop schema public cascade; --", "A", "", "pg_catalog", "é", "a b"] {
        let error = PostgresBackend::connect(&format!("postgres://nobody@127.0.0.1:1/x?schema={name}")).await;
        let error = error.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.to_string().contains("schema name"), "{error}");
    }
}

#[tokio::test]
async fn errors_do_not_show_the_password() {
    let error =
        PostgresBackend::connect("postgres://u:hunter2@127.0.0.1:1/x").await.expect_err("nobody is there");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}

#[tokio::test]
async fn schemas_are_apart() {
    let (a, b) = (server().fresh_url(), server().fresh_url());
    let a = PostgresBackend::connect(&a).await.expect("connects");
    let b = PostgresBackend::connect(&b).await.expect("connects");
    a.enqueue(&[NewJob::new(KIND, QUEUE, "{}")]).await.expect("enqueue works");
    use_once(&b).await;
}

/// Roles may have any default; the hot functions need read committed and get it.
#[tokio::test]
async fn any_default_isolation_of_a_role_works() {
    for (n, level) in ["repeatable read", "serializable"].into_iter().enumerate() {
        let url = server().fresh_url();
        let role = format!("r{n}_{}", schema_of(&url));
        let mut connection = connection().await;
        let sql = format!(
            "create role {role} login superuser; alter role {role} set default_transaction_isolation = '{level}'"
        );
        execute(&mut connection, sql).await.expect("the role is made");
        let url = url.replacen("postgres://", &format!("postgres://{role}@"), 1);
        let (_, rest) = url.split_once('@').expect("it has a role");
        let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
        let url = format!("postgres://{role}@{rest}");
        use_once(&PostgresBackend::connect(&url).await.expect("connects")).await;
        execute(&mut connection, format!("alter role {role} nologin")).await.expect("the role is shut");
    }
}

/// Called by hand in a transaction of another level, a claim refuses rather than lose a late commit.
#[tokio::test]
async fn a_claim_refuses_another_isolation() {
    let url = server().fresh_url();
    let backend = PostgresBackend::connect(&url).await.expect("connects");
    backend.enqueue(&[NewJob::new(KIND, QUEUE, "{}")]).await.expect("enqueue works");
    let schema = schema_of(&url);
    let claim = format!(
        "select {schema}.claim('q', '{{k}}', 1, gen_random_uuid(), gen_random_uuid(), 1000000, '{{}}', false, '{{}}', \
         null, null, null, null, null, null, null, null)"
    );
    let mut connection = connection().await;
    for begin in [
        "begin isolation level repeatable read".to_owned(),
        "begin isolation level serializable".to_owned(),
        "begin; select pg_current_xact_id()".to_owned(),
    ] {
        execute(&mut connection, begin).await.expect("begins");
        let error = execute(&mut connection, claim.clone()).await.expect_err("it is refused").to_string();
        assert!(error.contains("a claim needs"), "{error}");
        execute(&mut connection, "rollback".to_owned()).await.expect("rolls back");
    }
    use_once_other(&backend).await;
}

/// The refused claims took nothing.
async fn use_once_other(backend: &PostgresBackend) {
    let request = ClaimRequest {
        lease: LeaseId::random(),
        worker: WorkerId::random(),
        kinds: &[KIND],
        limit: 10,
        lease_for: Duration::from_secs(30),
        suspect_leases: &[],
        solo: false,
        ahead: &[],
    };
    assert_eq!(backend.claim(&QUEUE, &request).await.expect("claim works").jobs.len(), 1);
}

#[tokio::test]
async fn durability_is_read_from_the_server() {
    let url = server().fresh_url();
    let class = |url: String| async move {
        PostgresBackend::connect(&url).await.expect("connects").info().durability
    };
    let plain = class(url.clone()).await;
    let loose = class(format!("{url}&options=-c%20synchronous_commit%3Doff")).await;
    assert_eq!(loose, DurabilityClass::Volatile);
    assert!(plain > loose, "{plain:?}");
}
