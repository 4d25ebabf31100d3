//! Lines and limits where transactions of the application, marks and statistics come in.

mod support;

use job_core::{
    Backend, Claim, Declared, Enqueued, JobId, Kind, KindLimits, Limit, LimitName, LimitRule,
    MaintainRequest, NewJob, OnConflict, Operate, UniqueKey,
};
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::time::Duration;
use support::server;
use support::store::{PATIENCE, QUEUE, Store};
use tokio::time::Instant;

const KIND: Kind = Kind::from_static("k");
const OTHER: Kind = Kind::from_static("other");

impl Store {
    async fn enqueue(&self, jobs: &[NewJob]) {
        for part in jobs.chunks(1_000) {
            self.backend.enqueue(part).await.expect("enqueue works");
        }
    }

    async fn claim(&self, limit: u32) -> Claim {
        self.claim_of(&[KIND, OTHER], limit).await
    }

    /// Claims and completes until so many different jobs have come.
    async fn drain(&self, wanted: usize, limit: u32) -> HashSet<JobId> {
        let mut seen = HashSet::new();
        let deadline = Instant::now() + PATIENCE;
        while seen.len() < wanted {
            let claim = self.claim(limit).await;
            self.complete(&claim).await;
            for job in &claim.jobs {
                assert!(seen.insert(job.hold.job), "a job came twice");
            }
            assert!(Instant::now() < deadline, "{} of {wanted} jobs came", seen.len());
        }
        seen
    }

    async fn marks(&mut self) -> i64 {
        self.number("select coalesce(max(no), 0) from {schema}.mark").await
    }
}

fn in_line(key: &str) -> NewJob {
    let mut job = NewJob::new(KIND, QUEUE, "{}");
    job.set_line(key);
    job
}

fn one_at_a_time() -> KindLimits {
    KindLimits { line: LimitRule { concurrency: Some(1), ..LimitRule::default() }, ..KindLimits::none(KIND) }
}

/// More lines than one claim hears of are all served, although the mark moves meanwhile; and when all is done, nothing of
/// them is left.
#[tokio::test]
async fn more_lines_than_a_claim_hears_of_are_served() {
    let mut store = Store::new().await;
    store.declare(vec![], one_at_a_time()).await;
    let jobs: Vec<_> = (0..5_000).map(|n| in_line(&format!("key {n}"))).collect();
    store.enqueue(&jobs).await;
    let deadline = Instant::now() + PATIENCE;
    let mut seen = HashSet::new();
    // While notes are left, the mark moves twice.
    while store.marks().await < 3 {
        let claim = store.claim(1).await;
        store.complete(&claim).await;
        seen.extend(claim.jobs.iter().map(|j| j.hold.job));
        if seen.len() == 3 {
            tokio::time::sleep(Duration::from_millis(320)).await;
        }
        assert!(Instant::now() < deadline, "the mark does not move");
        assert!(seen.len() < 1_000, "the notes are read before the mark moves");
    }
    seen.extend(store.drain(5_000 - seen.len(), 500).await);
    assert_eq!(seen.len(), 5_000);
    assert!(store.claim(10).await.jobs.is_empty());
    store.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    for table in ["waiting", "turn", "nap", "line", "line_note", "lease", "ready"] {
        assert_eq!(store.number(&format!("select count(*) from {{schema}}.{table}")).await, 0, "{table}");
    }
}

/// A transaction that stays open after it enqueued into a line keeps nobody else from that line, and its job comes when it
/// commits, long after the mark has passed.
#[tokio::test]
async fn an_open_transaction_holds_up_no_line() {
    let mut store = Store::new().await;
    store.declare(vec![], one_at_a_time()).await;
    let late = in_line("a");
    let mut connection = PgConnection::connect(&server().url()).await.expect("connects");
    let mut tx = connection.begin().await.expect("begins");
    store.backend.enqueue_tx(&mut tx, std::slice::from_ref(&late)).await.expect("enqueue_tx works");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let quick = in_line("a");
        store.enqueue(std::slice::from_ref(&quick)).await;
        assert_eq!(store.drain(1, 10).await, HashSet::from([quick.id]));
        let passed = "select coalesce(max(cardinality(stragglers)), 0)::bigint from {schema}.mark";
        if store.number(passed).await > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the mark never passed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tx.commit().await.expect("commits");
    assert_eq!(store.drain(1, 10).await, HashSet::from([late.id]));
}

/// A row that somebody inserts by hand goes into its line as well.
#[tokio::test]
async fn a_row_made_by_hand_goes_into_its_line() {
    let mut store = Store::new().await;
    store.declare(vec![], one_at_a_time()).await;
    let first = NewJob::new(KIND, QUEUE, "{}");
    store.enqueue(std::slice::from_ref(&first)).await;
    store
        .execute(
            "insert into {schema}.ready (lane, id, payload, headers) select l.id, gen_random_uuid(), '', \
             '{\"steadfast-line\": \"a\"}' from {schema}.lane l, generate_series(1, 3)",
        )
        .await
        .expect("the statement works");
    let claim = store.claim(10).await;
    assert_eq!(claim.jobs.len(), 2, "the one without a line, and one of the line");
    store.complete(&claim).await;
    store.drain(2, 10).await;
}

/// What a limit has left is found when there is room, although the mark has moved.
#[tokio::test]
async fn what_a_limit_left_is_found() {
    let mut store = Store::new().await;
    let name = LimitName::new("narrow").expect("valid");
    let under = |kind| KindLimits { limits: vec![name.clone()], ..KindLimits::none(kind) };
    let declared = Declared {
        limits: vec![(name.clone(), Some(Limit::concurrency(2).rule().expect("valid")))],
        kinds: vec![under(KIND), under(OTHER)],
    };
    store.backend.declare(&QUEUE, &declared).await.expect("declare works");
    let jobs: Vec<_> = (0..30).map(|n| NewJob::new([KIND, OTHER][n % 2].clone(), QUEUE, "{}")).collect();
    store.enqueue(&jobs).await;
    let deadline = Instant::now() + PATIENCE;
    let mut seen = HashSet::new();
    while seen.len() < jobs.len() {
        let claim = store.claim(5).await;
        assert!(claim.jobs.len() <= 2, "{claim:?}");
        store.complete(&claim).await;
        seen.extend(claim.jobs.iter().map(|j| j.hold.job));
        assert!(Instant::now() < deadline, "{} jobs came", seen.len());
        // The mark moves three times a second at most.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.marks().await > 2, "the mark has moved");
    let done = store.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(done.repaired, 0);
}

fn unique(key: &str, on_conflict: OnConflict) -> NewJob {
    let mut job = in_line(key);
    job.unique = Some(UniqueKey { scope: "s".into(), key: "u".into() });
    job.on_conflict = on_conflict;
    job
}

/// A job that takes the place of one in a line has that very place, and goes behind if it is of another line.
#[tokio::test]
async fn a_replacement_keeps_the_place_in_line() {
    let store = Store::new().await;
    store.declare(vec![], one_at_a_time()).await;
    let (old, behind) = (unique("a", OnConflict::Existing), in_line("a"));
    store.enqueue(&[old.clone(), behind.clone()]).await;
    let new = unique("a", OnConflict::Replace);
    let told = store.backend.enqueue(std::slice::from_ref(&new)).await.expect("enqueue works");
    assert_eq!(told, [Enqueued::replacing(new.id, old.id)]);
    let elsewhere = unique("b", OnConflict::Latest);
    let told = store.backend.enqueue(std::slice::from_ref(&elsewhere)).await.expect("enqueue works");
    assert_eq!(told, [Enqueued::replacing(elsewhere.id, new.id)]);
    let back = unique("a", OnConflict::Latest);
    store.enqueue(std::slice::from_ref(&back)).await;
    let again = unique("a", OnConflict::Latest);
    store.enqueue(std::slice::from_ref(&again)).await;
    let first = store.claim(9).await;
    assert_eq!(first.jobs.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [behind.id]);
    store.complete(&first).await;
    let second = store.claim(9).await;
    assert_eq!(second.jobs.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [again.id]);
    store.complete(&second).await;
    assert_eq!(store.backend.stats(&QUEUE).await.expect("stats work").ready, 0);
}

/// Claims from lines and under limits read what they take and no more, whatever the statistics say.
#[tokio::test]
async fn wrong_statistics_do_not_change_what_lines_read() {
    const ROUNDS: i64 = 20;
    for (name, tuples, pages) in [("empty", 0, 0), ("huge", 1_000_000_000, 10_000_000)] {
        let mut store = Store::new().await;
        let wide = LimitName::new("wide").expect("valid");
        let limits =
            vec![(wide.clone(), Some(Limit::concurrency(1_000).rate("1000000/s").rule().expect("valid")))];
        store.declare(limits, KindLimits { limits: vec![wide], ..one_at_a_time() }).await;
        store.enqueue(&[in_line("first")]).await;
        let tables =
            ["ready", "lease", "waiting", "turn", "line_note", "nap", "line", "bucket", "limiter", "lane"];
        store.falsify(&tables, &["waiting_line", "ready_line", "turn_pkey"], tuples, pages).await;
        let jobs: Vec<_> = (0..20_000).map(|n| in_line(&format!("key {}", n % 1_000))).collect();
        store.enqueue(&jobs).await;
        store.drain(1, 10).await;
        let before = store.reads("waiting").await;
        for _ in 0..ROUNDS {
            let claim = store.claim(50).await;
            assert_eq!(claim.jobs.len(), 50);
            store.complete(&claim).await;
        }
        let after = store.reads("waiting").await;
        assert_eq!(after.0 - before.0, 0, "{name}: a claim scanned a table");
        let read = after.1 - before.1;
        // Of each line the job that it gives and the next, and the first again to see whether it has any.
        assert!((ROUNDS * 50..ROUNDS * 50 * 8).contains(&read), "{name}: {read} waiting jobs read");
    }
}
