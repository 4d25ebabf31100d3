//! Maintenance while others keep snapshots and transactions open, so that nothing of what is gone leaves the indexes.

use super::{PATIENCE, QUEUE, Store, job, server};
use job_core::{Backend, MaintainRequest, NewJob, When};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::Instant;

const MANY: u64 = 2_000;

fn soon() -> NewJob {
    let mut new = job();
    new.when = When::After(Duration::from_millis(1));
    new
}

impl Store {
    async fn promoted(&self) -> u64 {
        self.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintenance works").promoted
    }

    /// Stores so many and promotes them.
    async fn promote(&self, jobs: u64) {
        for _ in 0..jobs.div_ceil(1_000) {
            let new: Vec<_> = (0..jobs.min(1_000)).map(|_| soon()).collect();
            self.backend.enqueue(&new).await.expect("enqueue works");
        }
        let deadline = Instant::now() + PATIENCE;
        let mut promoted = 0;
        while promoted < jobs {
            promoted += self.promoted().await;
            assert!(Instant::now() < deadline, "{promoted} of {jobs} were promoted");
        }
    }

    /// Promotes one job after the other until that reads no more than what is new.
    async fn passed(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.entries("later_due").await;
            self.promote(1).await;
            let read = self.entries("later_due").await - before;
            if read < 100 {
                return;
            }
            assert!(Instant::now() < deadline, "{read} entries are read to promote one job");
        }
    }
}

/// A transaction that is open until the connection is dropped.
async fn left_open(sql: &'static str) -> PgConnection {
    let mut other = PgConnection::connect(&server().url()).await.expect("connects");
    sqlx::raw_sql(sql).execute(&mut other).await.expect("it stays open");
    other
}

const SNAPSHOT: &str = "begin isolation level repeatable read; select count(*) from pg_class";

#[tokio::test]
async fn what_was_promoted_is_not_read_again() {
    let mut store = Store::new().await;
    let _held = left_open(SNAPSHOT).await;
    store.promote(MANY).await;
    store.passed().await;
}

#[tokio::test]
async fn leases_that_have_ended_are_not_read_again() {
    let mut store = Store::new().await;
    let _held = left_open(SNAPSHOT).await;
    let jobs: Vec<_> = (0..500).map(|_| job()).collect();
    store.backend.enqueue(&jobs).await.expect("enqueue works");
    for _ in &jobs {
        let claim = store.claim(1).await;
        store.complete(&claim).await;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Marks follow claims, after some time.
        store.backend.enqueue(&[job()]).await.expect("enqueue works");
        let claim = store.claim(1).await;
        let before = store.entries("lease_pkey").await;
        store.promoted().await;
        let read = store.entries("lease_pkey").await - before;
        store.complete(&claim).await;
        if read < 100 {
            return;
        }
        assert!(Instant::now() < deadline, "{read} entries are read to find one lease");
    }
}

#[tokio::test]
async fn what_a_long_transaction_stores_is_promoted_when_it_has_ended() {
    let mut store = Store::new().await;
    let _longer = left_open("begin; select pg_current_xact_id()").await;
    let mut writer = PgConnection::connect(&server().url()).await.expect("connects");
    let mut tx = writer.begin().await.expect("begins");
    store.backend.enqueue_tx(&mut tx, &[soon()]).await.expect("enqueue_tx works");
    store.promote(MANY).await;
    store.passed().await;
    assert_eq!(store.promoted().await, 0, "it is not committed");
    tx.commit().await.expect("commits");
    // One round sees that it has ended, the next one looks for what it has left.
    assert_eq!(store.promoted().await + store.promoted().await, 1);
}
