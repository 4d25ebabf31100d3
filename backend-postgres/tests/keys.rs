//! Keys in transactions of the application: what is rolled back has taken none, and an open one holds up no worker.

mod support;

use backend_postgres::PostgresBackend;
use job_conformance::{Harness, QUEUE, job};
use job_core::{
    Backend, EnqueueError, Enqueued, JobState, KeyName, MaintainRequest, NewJob, OnConflict, UniqueKey,
    Verdict, When,
};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use support::server;

fn unique(on_conflict: OnConflict) -> NewJob {
    let mut new = job();
    new.payload = format!("\"{}\"", new.id).into();
    new.unique = Some(UniqueKey { scope: "s".into(), key: "k".into() });
    new.on_conflict = on_conflict;
    new
}

struct Store {
    backend: PostgresBackend,
    kit: Harness,
    connection: PgConnection,
}

async fn store() -> Store {
    let url = server().fresh_url();
    let backend = PostgresBackend::connect(&format!("{url}&pool=4")).await.expect("connects");
    let connection = PgConnection::connect(&server().url()).await.expect("connects");
    Store { kit: Harness::real_time(backend.clone()), backend, connection }
}

async fn later(h: &Harness, new: &NewJob) -> NewJob {
    let mut new = new.clone();
    new.when = When::After(Duration::from_secs(60));
    h.enqueue_one(&new).await;
    new
}

/// Every answer to a key that is taken, rolled back: the store is as it was.
#[tokio::test]
async fn a_rolled_back_transaction_releases_keys_and_replaces_nothing() {
    let mut s = store().await;
    let free = unique(OnConflict::Error);
    let mut tx = s.connection.begin().await.expect("begins");
    s.backend.enqueue_tx(&mut tx, std::slice::from_ref(&free)).await.expect("enqueue_tx works");
    tx.rollback().await.expect("rolls back");

    let old = later(&s.kit, &unique(OnConflict::Error)).await;
    for policy in [OnConflict::Replace, OnConflict::Latest] {
        let new = unique(policy);
        let mut tx = s.connection.begin().await.expect("begins");
        let told = s.backend.enqueue_tx(&mut tx, std::slice::from_ref(&new)).await.expect("enqueue_tx works");
        assert_eq!(told, [Enqueued::replacing(new.id, old.id)]);
        tx.rollback().await.expect("rolls back");
        assert_eq!(s.kit.record(old.id).await.payload, old.payload);
        assert_eq!(s.kit.find(new.id).await, None);
    }
    assert_eq!(s.kit.enqueue_one(&unique(OnConflict::Existing)).await, Enqueued::existing(old.id));
}

/// The error names the key and its holder, and says that the transaction is to be rolled back.
#[tokio::test]
async fn a_refusal_in_a_transaction_names_the_holder() {
    let mut s = store().await;
    let old = unique(OnConflict::Existing);
    s.kit.enqueue_one(&old).await;
    let mut tx = s.connection.begin().await.expect("begins");
    let batch = [job(), unique(OnConflict::Error)];
    let error = s.backend.enqueue_tx(&mut tx, &batch).await.expect_err("its key is taken");
    let EnqueueError::KeyTaken(taken) = error else { panic!("{error}") };
    assert_eq!((taken.job, taken.name, taken.holder), (batch[1].id, KeyName::Unique, old.id));
    tx.rollback().await.expect("rolls back");
    assert_eq!(s.kit.ids(JobState::Ready).await, [old.id]);
}

/// A transaction that stays open after it met a ready job keeps nobody from claiming and ending that job; the last change
/// waits for its end.
#[tokio::test]
async fn an_open_transaction_holds_up_no_worker() {
    let mut s = store().await;
    let old = unique(OnConflict::Latest);
    s.kit.enqueue_one(&old).await;
    let (strict, new) = (unique(OnConflict::Replace), unique(OnConflict::Latest));
    let mut tx = s.connection.begin().await.expect("begins");
    let told = s.backend.enqueue_tx(&mut tx, &[strict, new.clone()]).await.expect("enqueue_tx works");
    assert_eq!(told, [Enqueued::existing(old.id), Enqueued::stored(new.id)]);

    let held = s.kit.take(5).jobs().await;
    assert_eq!(held.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [old.id]);
    s.kit.apply(held[0].hold, Verdict::Complete).await;
    tx.commit().await.expect("commits");

    let ready = s.kit.until("the job that nobody saw to be let go", || async {
        let request = MaintainRequest::default();
        s.backend.maintain(&QUEUE, &request).await.expect("maintain works");
        s.kit.take(5).jobs().await.pop()
    });
    let got = ready.await;
    assert_eq!((got.hold.job, got.payload), (new.id, new.payload));
}
