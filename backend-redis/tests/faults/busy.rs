//! The server is busy with somebody else's work: calls fail as worth trying again, or wait.

use crate::support::connect;
use crate::support::store::Store;
use crate::support::work::{LONG, PATIENCE, QUEUE, claim, claim_from, drain, enqueue_one, jobs, until};
use crate::{fast, start};
use job_conformance::servers::{RedisServer, when_back};
use job_core::{Backend, Effect, ErrorKind, LeaseId, LeaseStatus, MaintainRequest};
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::Instant;

/// Sends a command on a connection of its own and waits for the answer elsewhere.
fn meanwhile(server: &RedisServer, words: &'static [&str]) -> std::thread::JoinHandle<()> {
    let client = redis::Client::open(server.url()).expect("the URL is good");
    std::thread::spawn(move || {
        let mut connection = client.get_connection().expect("connects");
        // A script that is killed answers with an error.
        let _ = redis::cmd(words[0]).arg(&words[1..]).exec(&mut connection);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_script_of_somebody_else_makes_calls_wait_or_fail_as_transient() {
    let server = start(fast().setting("lua-time-limit", "20"));
    let url = server.fresh_url();
    let backend = connect(&url).await;
    backend.enqueue(&jobs(2)).await.expect("enqueue works");
    let lease = LeaseId::random();
    let held = claim_from(&backend, &QUEUE, lease, 1, LONG).await.expect("claim works");
    let slow = meanwhile(&server, &["EVAL", "while true do end", "0"]);
    until("it is busy", async || server.try_cli(&["ping"]).is_ok_and(|said| said.contains("BUSY"))).await;
    let errors = [
        enqueue_one(&backend).await.expect_err("busy"),
        claim(&backend, 1).await.expect_err("busy"),
        crate::support::work::settle(&backend, &held[0], job_core::Verdict::Complete)
            .await
            .expect_err("busy"),
        backend.extend(&QUEUE, &[lease], LONG).await.expect_err("busy"),
        backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect_err("busy"),
    ];
    for error in &errors {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Transient, Effect::NotApplied), "{error}");
    }
    // Nobody can start meanwhile, and is told that it is worth trying.
    let error = backend_redis::RedisBackend::connect(&url).await.expect_err("busy");
    assert!(error.is_transient(), "{error}");
    assert_eq!(server.cli(&["script", "kill"]), "OK");
    slow.join().expect("no panic");
    assert_eq!(
        backend.extend(&QUEUE, &[lease], LONG).await.expect("extend works").leases,
        [LeaseStatus::Held]
    );
    assert_eq!(drain(&backend, &QUEUE).await.len(), 1, "nothing of it was done");
    Store::of(&url).assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_outlast_a_pause() {
    let server = start(fast().setting("enable-debug-command", "yes"));
    let backend = connect(&server.fresh_url()).await;
    enqueue_one(&backend).await.expect("enqueue works");
    let pauses: [&[&str]; 2] = [&["DEBUG", "SLEEP", "1"], &["CLIENT", "PAUSE", "1000", "ALL"]];
    for words in pauses {
        let pause = meanwhile(&server, words);
        let mut seen = 0;
        while !pause.is_finished() {
            enqueue_one(&backend).await.expect("it waits");
            seen += claim(&backend, 10).await.expect("it waits").len();
        }
        pause.join().expect("no panic");
        assert!(seen > 0);
    }
}

/// A lease is at stake: an extension does not wait as long as other calls, and is done when it can be.
#[tokio::test(flavor = "multi_thread")]
async fn an_extension_gives_up_sooner() {
    let server = start(fast());
    let backend = connect(&server.fresh_url()).await;
    enqueue_one(&backend).await.expect("enqueue works");
    let lease = LeaseId::random();
    claim_from(&backend, &QUEUE, lease, 1, LONG).await.expect("claim works");
    block_in_place(|| assert_eq!(server.cli(&["client", "pause", "7000", "write"]), "OK"));
    let began = Instant::now();
    let error = backend.extend(&QUEUE, &[lease], LONG).await.expect_err("nobody answers");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Transient, Effect::Unknown), "{error}");
    when_back(PATIENCE, async || backend.extend(&QUEUE, &[lease], LONG).await).await;
    let done = backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(done.leases_reaped, 0);
}
