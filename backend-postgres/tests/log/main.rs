//! The ready log: late commits, rollbacks, rows made by hand, replies that stay small; in `plans`, plans that stay the same.

mod ahead;
mod pinned;
mod plans;
#[path = "../support/mod.rs"]
mod support;

use futures_util::future::join_all;
use job_core::{Backend, Claim, IdempotencyKey, JobId, Kind, MaintainRequest, NewJob, Operate};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use support::server;
use support::store::{PATIENCE, QUEUE, Store};
use tokio::time::Instant;

const KIND: Kind = Kind::from_static("k");

impl Store {
    async fn claim(&self, limit: u32) -> Claim {
        self.claim_of(&[KIND], limit).await
    }

    /// Claims and completes until this job comes.
    async fn until(&self, id: JobId) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let claim = self.claim(10).await;
            self.complete(&claim).await;
            if claim.jobs.iter().any(|j| j.hold.job == id) {
                return;
            }
            assert!(Instant::now() < deadline, "the job never came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn job() -> NewJob {
    NewJob::new(KIND, QUEUE, "{}")
}

/// A job whose transaction commits long after the mark has passed its place is found.
#[tokio::test]
async fn a_late_commit_is_found() {
    let store = Store::new().await;
    let (late, never) = (job(), job());
    let mut first = PgConnection::connect(&server().url()).await.expect("connects");
    let mut other = PgConnection::connect(&server().url()).await.expect("connects");
    let mut slow = first.begin().await.expect("begins");
    store.backend.enqueue_tx(&mut slow, std::slice::from_ref(&late)).await.expect("enqueue_tx works");
    let mut undone = other.begin().await.expect("begins");
    store.backend.enqueue_tx(&mut undone, std::slice::from_ref(&never)).await.expect("enqueue_tx works");
    // Until the mark has passed both: their transactions are remembered as stragglers.
    let mut watch = PgConnection::connect(&server().url()).await.expect("connects");
    let passed = format!("select coalesce(max(cardinality(stragglers)), 0) from {}.mark", store.schema);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let quick = job();
        store.backend.enqueue(std::slice::from_ref(&quick)).await.expect("enqueue works");
        let got = store.backend_claim_all().await;
        assert_eq!(got, [quick.id], "only what is committed");
        let stragglers: i32 =
            sqlx::query_scalar(AssertSqlSafe(passed.clone())).fetch_one(&mut watch).await.expect("a number");
        if stragglers >= 2 {
            break;
        }
        assert!(Instant::now() < deadline, "the mark never passed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    undone.rollback().await.expect("rolls back");
    slow.commit().await.expect("commits");
    store.until(late.id).await;
    assert_eq!(store.backend.get(never.id).await.expect("get works"), None);
    let maintained =
        store.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(maintained.repaired, 0);
}

impl Store {
    async fn backend_claim_all(&self) -> Vec<JobId> {
        let claim = self.claim(100).await;
        self.complete(&claim).await;
        claim.jobs.iter().map(|j| j.hold.job).collect()
    }
}

/// Transactions that begin while a claim runs, and stay open until the mark has moved twice, are not passed by.
#[tokio::test]
async fn what_begins_during_a_claim_is_found() {
    let store = Store::new().await;
    store.backend.enqueue(&[job()]).await.expect("enqueue works");
    store.backend_claim_all().await;
    let end = Instant::now() + Duration::from_secs(3);
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let backend = store.backend.clone();
        producers.spawn(async move {
            let mut connection = PgConnection::connect(&server().url()).await.expect("connects");
            let mut committed = Vec::new();
            while Instant::now() < end {
                let mut tx = connection.begin().await.expect("begins");
                let new = job();
                backend.enqueue_tx(&mut tx, std::slice::from_ref(&new)).await.expect("enqueue_tx works");
                tokio::time::sleep(Duration::from_millis(700)).await;
                tx.commit().await.expect("commits");
                committed.push(new.id);
            }
            committed
        });
    }
    let mut found = Vec::new();
    while Instant::now() < end + Duration::from_secs(1) {
        found.extend(store.backend_claim_all().await);
    }
    let committed: Vec<_> = producers.join_all().await.concat();
    found.extend(store.backend_claim_all().await);
    let lost = committed.iter().filter(|id| !found.contains(id)).count();
    assert_eq!((lost, committed.len()), (0, found.len()), "below the mark, or twice");
}

/// The audit finds a row below the mark, which no claim would: it can fail, and it mends.
#[tokio::test]
async fn the_audit_can_find_something() {
    let mut store = Store::new().await;
    store.backend.enqueue(&[job()]).await.expect("enqueue works");
    let claim = store.claim(1).await;
    store.complete(&claim).await;
    let lost = job();
    store.backend.enqueue(std::slice::from_ref(&lost)).await.expect("enqueue works");
    store
        .execute(
            "insert into {schema}.mark select k.id, 1000, 1000000, 1000000, '3', clock_timestamp(), 0, \
             array(select id from {schema}.lane), array(select 1000000::bigint from {schema}.lane), '{}', '{}' \
             from {schema}.queue k",
        )
        .await
        .expect("the mark is moved too far");
    assert!(store.claim(1).await.jobs.is_empty(), "it is below the mark");
    let done = store.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(done.repaired, 1);
    // The sequence is still below the false mark; a real one is far above what the audit gives back.
    store.execute("select setval('{schema}.seq', 2000000)").await.expect("the sequence moves");
    let again = job();
    store.backend.enqueue(std::slice::from_ref(&again)).await.expect("enqueue works");
    assert_eq!(store.claim(10).await.jobs.len(), 1);
}

/// Rows that somebody inserts by hand are jobs like others if they make sense, and are refused if not.
#[tokio::test]
async fn rows_made_by_hand() {
    let mut store = Store::new().await;
    store.backend.enqueue(&[job()]).await.expect("enqueue works");
    assert_eq!(store.backend_claim_all().await.len(), 1);
    let lane = "(select id from {schema}.lane where stage = 0)";
    let nonsense = [
        "(lane, id, payload, attempt) select {lane}, gen_random_uuid(), '', -1",
        "(lane, id, payload, max_attempts) select {lane}, gen_random_uuid(), '', 0",
        "(lane, id, payload, headers) select {lane}, gen_random_uuid(), '', '[1]'",
        "(lane, id, payload, errors) select {lane}, gen_random_uuid(), '', '{}'",
        "(lane, id, payload, enqueued_at) select {lane}, gen_random_uuid(), '', 'infinity'",
        "(lane, id, payload, version) select {lane}, gen_random_uuid(), '', -5",
        "(lane, id, payload, unique_key) select {lane}, gen_random_uuid(), '', 'x'",
    ];
    for columns in nonsense {
        let sql = format!("insert into {{schema}}.ready {}", columns.replace("{lane}", lane));
        store.execute(&sql).await.expect_err(columns);
    }
    let odd = [
        "(lane, id, payload, headers) select {lane}, gen_random_uuid(), '\\xff00', '{\"a\": {\"b\": [1, null]}}'",
        "(lane, id, payload, errors) select {lane}, gen_random_uuid(), '', '[1, {\"attempt\": \"x\"}]'",
        "(lane, id, payload) select {lane}, gen_random_uuid(), ''",
    ];
    for columns in odd {
        let sql = format!("insert into {{schema}}.ready {}", columns.replace("{lane}", lane));
        store.execute(&sql).await.expect(columns);
    }
    let good = job();
    store.backend.enqueue(std::slice::from_ref(&good)).await.expect("enqueue works");
    let got = store.backend_claim_all().await;
    assert_eq!(got.len(), 4, "all of them, and the others are unharmed");
    assert!(got.contains(&good.id));
}

/// The claim lock is held until the reply is sent, so a reply is small whatever the payloads are.
#[tokio::test]
async fn a_reply_is_small() {
    let mut store = Store::new().await;
    let jobs: Vec<_> = (0..300).map(|_| NewJob::new(KIND, QUEUE, vec![b'x'; 4_000])).collect();
    store.backend.enqueue(&jobs).await.expect("enqueue works");
    let bytes = store
        .number(
            "select sum(octet_length(p)) from {schema}.claim('q', '{k}', 200, gen_random_uuid(), gen_random_uuid(), \
             60000000, '{}', false, '{}', null, null, null, null, null, null, null, null) c, unnest(c.payloads) p",
        )
        .await;
    assert!((1..=65_536).contains(&bytes), "{bytes} bytes of payload while the lock is held");
    let claim = store.claim(100).await;
    assert_eq!(claim.jobs.len(), 100);
    assert!(claim.jobs.iter().all(|j| j.payload.len() == 4_000), "the rest is fetched");
}

/// Concurrent enqueues with one idempotency key, some rolled back, agree on one job.
#[tokio::test]
async fn a_key_race_has_one_winner() {
    let store = Store::new().await;
    for round in 0..10 {
        let keyed = || {
            let mut new = job();
            let window = IdempotencyKey::DEFAULT_WINDOW;
            new.idempotency =
                Some(IdempotencyKey { scope: "s".into(), key: format!("r{round}").into(), window });
            new
        };
        let undone = keyed();
        let mut connection = PgConnection::connect(&server().url()).await.expect("connects");
        let mut tx = connection.begin().await.expect("begins");
        store.backend.enqueue_tx(&mut tx, std::slice::from_ref(&undone)).await.expect("enqueue_tx works");
        let rivals = join_all((0..8).map(|_| {
            let new = keyed();
            let backend = store.backend.clone();
            async move { (new.id, backend.enqueue(&[new]).await.expect("enqueue works")[0]) }
        }));
        let (_, answers) = tokio::join!(tx.rollback(), rivals);
        let winners: Vec<_> = answers.iter().filter(|(_, a)| !a.deduplicated).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, a)| a.id == winners[0].0), "{answers:?}");
    }
    assert_eq!(store.backend_claim_all().await.len(), 10);
}

/// What the server undoes because of somebody else is done again, without a word to the caller.
#[tokio::test]
async fn a_disturbed_statement_is_repeated() {
    let mut store = Store::new().await;
    store
        .execute(
            "create sequence {schema}.fuss; \
             create function {schema}.fuss() returns trigger language plpgsql as $$ begin \
             if nextval('{schema}.fuss') <= 3 then raise exception 'disturbed' using errcode = '40001'; end if; \
             return new; end $$; \
             create trigger fuss before insert on {schema}.ready for each row execute function {schema}.fuss()",
        )
        .await
        .expect("the trigger is made");
    let new = job();
    store.backend.enqueue(std::slice::from_ref(&new)).await.expect("the fourth try works");
    assert_eq!(store.backend_claim_all().await, [new.id]);
}
