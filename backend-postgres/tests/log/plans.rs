//! Plans that do not depend on statistics, which are always wrong for a queue: what is read is counted.

use super::{PATIENCE, QUEUE, Store, job};
use job_core::{Backend, IdempotencyKey, MaintainRequest, NewJob, Operate, QueueName, When};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use std::time::Duration;
use tokio::time::Instant;

/// Rows and pages that the planner is told of.
const STATISTICS: [(&str, i64, i64); 3] =
    [("empty", 0, 0), ("tiny", 1, 1), ("huge", 1_000_000_000, 10_000_000)];

/// With statistics that are wrong by orders of magnitude, claims and verdicts read what they take and no more.
#[tokio::test]
async fn wrong_statistics_do_not_change_what_is_read() {
    const JOBS: usize = 20_000;
    const BATCH: i64 = 100;
    const ROUNDS: i64 = 20;
    for (name, tuples, pages) in STATISTICS {
        let mut store = Store::new().await;
        store.backend.enqueue(&[job()]).await.expect("enqueue works");
        store.falsify(tuples, pages).await;
        let jobs: Vec<_> = (0..JOBS).map(|_| job()).collect();
        for part in jobs.chunks(1_000) {
            store.backend.enqueue(part).await.expect("enqueue works");
        }
        let before = store.reads("ready").await;
        for _ in 0..ROUNDS {
            let claim = store.claim(u32::try_from(BATCH).expect("small")).await;
            assert_eq!(claim.jobs.len(), usize::try_from(BATCH).expect("small"));
            store.complete(&claim).await;
        }
        let after = store.reads("ready").await;
        assert_eq!(after.0 - before.0, 0, "{name}: a hot statement scanned a table");
        // Each claim may pass what was settled since the mark moved last: 20 rounds of 100 at worst.
        let read = after.1 - before.1;
        let limit = ROUNDS * BATCH * (ROUNDS + 4);
        assert!(
            (ROUNDS * BATCH..limit).contains(&read),
            "{name}: {read} rows read to take {}",
            ROUNDS * BATCH
        );
        let before = store.reads("ready").await;
        for _ in 0..ROUNDS {
            let seen = store.backend.gauges(&QUEUE, 100).await.expect("gauges work");
            assert_eq!((seen.ready, seen.kinds.len()), (100, 1), "{name}");
        }
        let after = store.reads("ready").await;
        assert_eq!(after.0 - before.0, 0, "{name}: gauges scanned a table");
        assert!(after.1 - before.1 <= ROUNDS * (100 + 1), "{name}: gauges read {} rows", after.1 - before.1);
    }
}

fn tomorrow(key: String) -> NewJob {
    let mut new = job();
    new.when = When::After(Duration::from_secs(86_400));
    let window = IdempotencyKey::DEFAULT_WINDOW;
    new.idempotency = Some(IdempotencyKey { scope: "s".into(), key: key.into(), window });
    new
}

/// What waits for its time, and keys that are remembered, cost maintenance nothing.
#[tokio::test]
async fn what_is_not_due_is_not_read() {
    const JOBS: usize = 5_000;
    const ROUNDS: i64 = 20;
    for (name, tuples, pages) in STATISTICS {
        let mut store = Store::new().await;
        store.falsify(tuples, pages).await;
        for part in 0..JOBS / 1_000 {
            let later: Vec<_> = (0..1_000).map(|n| tomorrow(format!("{part}-{n}"))).collect();
            store.backend.enqueue(&later).await.expect("enqueue works");
        }
        let mut due = job();
        due.when = When::After(Duration::from_millis(1));
        store.backend.enqueue(&[due]).await.expect("enqueue works");
        let before = (store.reads("later").await, store.reads("key").await);
        let mut promoted = 0;
        for _ in 0..ROUNDS {
            let done = store.backend.maintain(&QUEUE, &MaintainRequest::default()).await;
            promoted += done.expect("maintenance works").promoted;
        }
        assert_eq!(promoted, 1, "{name}");
        let after = (store.reads("later").await, store.reads("key").await);
        for (table, before, after) in [("later", before.0, after.0), ("key", before.1, after.1)] {
            assert_eq!(after.0 - before.0, 0, "{name}: maintenance scanned {table}");
            // The next that is due, and what was due.
            let read = after.1 - before.1;
            assert!(read <= 2 * ROUNDS + 10, "{name}: maintenance read {read} rows of {table}");
        }
    }
}

impl Store {
    /// Keeps the planner from the truth.
    async fn falsify(&mut self, tuples: i64, pages: i64) {
        for table in [
            "ready",
            "lease",
            "settled",
            "mark",
            "later",
            "key",
            "ready_pkey",
            "ready_id",
            "lease_pkey",
            "later_due",
            "key_expires",
        ] {
            let sql = format!("alter table if exists {{schema}}.{table} set (autovacuum_enabled = false)");
            self.execute(&sql).await.ok();
            let sql = format!(
                "update pg_class set reltuples = {tuples}, relpages = {pages} where oid = '{{schema}}.{table}'::regclass"
            );
            self.execute(&sql).await.expect("the statistics are falsified");
        }
    }

    /// Sequential scans of a table, and index rows read, so far.
    async fn reads(&mut self, table: &str) -> (i64, i64) {
        let sql = format!(
            "select coalesce(seq_scan, 0), coalesce(idx_tup_fetch, 0) from pg_stat_user_tables \
             where schemaname = '{}' and relname = '{table}'",
            self.schema
        );
        let row = self.counted(&sql).await;
        (row.get(0), row.get(1))
    }

    /// Entries of an index read so far, dead ones included.
    pub(super) async fn entries(&mut self, index: &str) -> i64 {
        let sql = format!(
            "select coalesce(idx_tup_read, 0) from pg_stat_user_indexes \
             where schemaname = '{}' and indexrelname = '{index}'",
            self.schema
        );
        self.counted(&sql).await.get(0)
    }

    async fn counted(&mut self, numbers: &str) -> PgRow {
        // A backend reports its numbers when it ends, so all of them are ended.
        self.backend.pause(&QueueName::from_static("other")).await.expect("it is there");
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'steadfast' \
             and query like '%{}%' and pid <> pg_backend_pid()",
            self.schema
        );
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut self.connection).await.expect("ends them");
        let left = sql.replace("pg_terminate_backend(pid)", "count(*)");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let n: i64 = sqlx::query_scalar(AssertSqlSafe(left.clone()))
                .fetch_one(&mut self.connection)
                .await
                .expect("n");
            if n == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "backends do not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let numbers = AssertSqlSafe(numbers.to_owned());
        let row = sqlx::query(numbers).fetch_one(&mut self.connection).await.expect("the numbers");
        // The pool finds its connections dead; the first call after that may fail.
        for _ in 0..20 {
            let _ = self.backend.queues().await;
        }
        row
    }
}
