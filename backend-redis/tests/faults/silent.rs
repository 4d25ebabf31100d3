//! The network holds everything back: connections are there and say nothing.

use crate::support::connect;
use crate::support::work::{PATIENCE, QUEUE, drain, enqueue_one, prefix_of, until};
use crate::{fast, start};
use job_conformance::servers::proxy::{Proxy, Weather};
use job_core::{Backend, Effect};
use tokio::time::timeout;

/// Whoever listens notices the silence by itself and dials again; a call gives up in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_dialled_again() {
    let server = start(fast());
    let url = server.fresh_url();
    let proxy = Proxy::start(server.port()).await.expect("a port");
    let behind = connect(&format!("redis://127.0.0.1:{}?prefix={}", proxy.port(), prefix_of(&url))).await;
    let other = connect(&url).await;
    let listener = || {
        let listeners = server.cli(&["client", "list", "type", "pubsub"]);
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse::<u64>().ok();
        listeners.lines().filter_map(id).max()
    };
    let wakes = async || {
        let (woken, _) = tokio::join!(timeout(PATIENCE, behind.wait(&QUEUE)), async {
            enqueue_one(&other).await.expect("enqueue works");
        });
        woken.expect("it is woken").expect("wait works");
    };
    // The first wait starts the listener.
    wakes().await;
    until("somebody listens", async || listener().is_some()).await;
    let first = listener();
    wakes().await;
    proxy.set(Weather::Silent);
    let clients = || server.cli(&["client", "list", "type", "normal"]).lines().count();
    let before = clients();
    let call = enqueue_one(&behind);
    // New connections reach the server and get no further.
    let dialled = until("it dials again", async || clients() > before);
    let (outcome, ()) = tokio::join!(call, dialled);
    let error = outcome.expect_err("nobody answers");
    assert!(error.is_transient() && error.effect() == Effect::Unknown, "{error}");
    proxy.set(Weather::Fair);
    until("it listens on another connection", async || listener() > first).await;
    wakes().await;
    enqueue_one(&behind).await.expect("enqueue works");
    drain(&behind, &QUEUE).await;
}
