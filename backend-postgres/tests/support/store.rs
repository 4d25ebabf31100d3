//! A store and a connection of our own beside it.

use super::server;
use backend_postgres::PostgresBackend;
use job_core::{
    Backend, Claim, ClaimRequest, Declared, Kind, KindLimits, LeaseId, LimitName, LimitRule, Operate,
    QueueName, Settled, Settlement, Verdict, WorkerId,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const QUEUE: QueueName = QueueName::from_static("q");
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A claim under a new lease that does not expire, without suspects.
pub(crate) fn request(kinds: &[Kind], limit: u32) -> ClaimRequest<'_> {
    ClaimRequest {
        lease: LeaseId::random(),
        worker: WorkerId::random(),
        kinds,
        limit,
        lease_for: Duration::from_secs(60),
        suspect_leases: &[],
        solo: false,
        ahead: &[],
    }
}

pub(crate) struct Store {
    pub(crate) backend: PostgresBackend,
    pub(crate) schema: String,
    pub(crate) connection: PgConnection,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let url = server().fresh_url();
        let schema = url.rsplit_once("schema=").expect("it has a schema").1.to_owned();
        let connection = PgConnection::connect(&server().url()).await.expect("connects");
        Self { backend: PostgresBackend::connect(&url).await.expect("connects"), schema, connection }
    }

    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sql.replace("{schema}", &self.schema);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop)
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        let sql = sql.replace("{schema}", &self.schema);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await.expect("a number")
    }

    pub(crate) async fn declare(&self, limits: Vec<(LimitName, Option<LimitRule>)>, kind: KindLimits) {
        self.backend.declare(&QUEUE, &Declared { limits, kinds: vec![kind] }).await.expect("declare works");
    }

    pub(crate) async fn claim_of(&self, kinds: &[Kind], limit: u32) -> Claim {
        self.backend.claim(&QUEUE, &request(kinds, limit)).await.expect("claim works")
    }

    pub(crate) async fn complete(&self, claim: &Claim) {
        let done: Vec<_> = claim.jobs.iter().map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
        let answers = self.backend.settle(&QUEUE, &done).await.expect("settle works");
        assert!(answers.iter().all(|a| *a == Settled::Applied), "{answers:?}");
    }

    /// Keeps the planner from the truth about tables and indexes.
    pub(crate) async fn falsify(&mut self, tables: &[&str], indexes: &[&str], tuples: i64, pages: i64) {
        for table in tables {
            let sql = format!("alter table {{schema}}.{table} set (autovacuum_enabled = false)");
            self.execute(&sql).await.expect("the truth stays away");
        }
        for relation in tables.iter().chain(indexes) {
            let sql = format!(
                "update pg_class set reltuples = {tuples}, relpages = {pages} where oid = '{{schema}}.{relation}'::regclass"
            );
            self.execute(&sql).await.expect("the statistics are falsified");
        }
    }

    /// Sequential scans of a table, and index rows read, so far.
    pub(crate) async fn reads(&mut self, table: &str) -> (i64, i64) {
        self.end_calls().await;
        let of = |column: &str| {
            format!(
                "select coalesce({column}, 0) from pg_stat_user_tables where schemaname = '{}' and relname = '{table}'",
                self.schema
            )
        };
        let (scans, rows) = (of("seq_scan"), of("idx_tup_fetch"));
        (self.number(&scans).await, self.number(&rows).await)
    }

    /// Entries of an index read so far, dead ones included.
    pub(crate) async fn entries(&mut self, index: &str) -> i64 {
        self.end_calls().await;
        let sql = format!(
            "select coalesce(idx_tup_read, 0) from pg_stat_user_indexes where schemaname = '{}' and indexrelname = '{index}'",
            self.schema
        );
        self.number(&sql).await
    }

    /// A backend reports its numbers when it ends, so all of them are ended.
    async fn end_calls(&mut self) {
        let sql = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'steadfast' \
             and query like '%{}%' and pid <> pg_backend_pid()",
            self.schema
        );
        self.number(&sql).await;
        let left = sql.replace("count(pg_terminate_backend(pid))", "count(*)");
        let deadline = Instant::now() + PATIENCE;
        while self.number(&left).await > 0 {
            assert!(Instant::now() < deadline, "backends do not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The pool finds its connections dead; the first call after that may fail.
        for _ in 0..20 {
            let _ = self.backend.queues().await;
        }
    }
}
