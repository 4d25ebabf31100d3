//! Plans that do not depend on statistics, which are always wrong for a queue: what is read is counted.

use super::{QUEUE, Store, job};
use job_core::{Backend, IdempotencyKey, MaintainRequest, NewJob, Operate, When};
use std::time::Duration;

/// Rows and pages that the planner is told of.
const STATISTICS: [(&str, i64, i64); 3] =
    [("empty", 0, 0), ("tiny", 1, 1), ("huge", 1_000_000_000, 10_000_000)];

const TABLES: [&str; 6] = ["ready", "lease", "settled", "mark", "later", "key"];
const INDEXES: [&str; 5] = ["ready_pkey", "ready_id", "lease_pkey", "later_due", "key_expires"];

/// With statistics that are wrong by orders of magnitude, claims and verdicts read what they take and no more.
#[tokio::test]
async fn wrong_statistics_do_not_change_what_is_read() {
    const JOBS: usize = 20_000;
    const BATCH: i64 = 100;
    const ROUNDS: i64 = 20;
    for (name, tuples, pages) in STATISTICS {
        let mut store = Store::new().await;
        store.backend.enqueue(&[job()]).await.expect("enqueue works");
        store.falsify(&TABLES, &INDEXES, tuples, pages).await;
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
        store.falsify(&TABLES, &INDEXES, tuples, pages).await;
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
