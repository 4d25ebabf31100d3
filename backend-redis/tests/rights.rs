//! Users with few rights: those that the documentation names are enough, and each is needed.

mod support;

use backend_redis::RedisBackend;
use job_conformance::servers::RedisServer;
use job_core::{Backend, BackendError, Effect, ErrorKind, MaintainRequest, Verdict};
use support::store::Store;
use support::work::{QUEUE, claim_from, drain, enqueue_one, jobs, settle};
use support::{connect, user};
use tokio::task::block_in_place;

fn start() -> RedisServer {
    block_in_place(|| RedisServer::options().fast().start())
}

async fn refusal(url: &str, without: &str) -> BackendError {
    let Err(error) = RedisBackend::connect(url).await else { panic!("connects without {without}") };
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Permanent, Effect::NotApplied), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let server = start();
    user::make(&server, "worker", "app", &["+zscan", "+zlexcount", "+renamenx"]);
    let backend = connect(&format!("{}/2?prefix=app", user::url(&server, "worker"))).await;
    backend.enqueue(&jobs(4)).await.expect("enqueue works");
    let lease = job_core::LeaseId::random();
    let held = claim_from(&backend, &QUEUE, lease, 2, support::work::LONG).await.expect("claim works");
    settle(&backend, &held[0], Verdict::Release).await.expect("settle works");
    backend.extend(&QUEUE, &[lease], support::work::LONG).await.expect("extend works");
    backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert!(backend.fsck(&QUEUE, false).await.expect("fsck works").is_clean());
    assert_eq!(drain(&backend, &QUEUE).await.len(), 3);
    // Whoever has them reaches nothing else.
    for words in [["get", "other"], ["get", "apps:queues"], ["keys", "*"], ["publish", "other"]] {
        let mut all = vec!["-u", "", "--no-auth-warning"];
        let url = user::url(&server, "worker");
        all[1] = &url;
        all.extend(words);
        let said = server.cli(&[all.as_slice(), if words[0] == "publish" { &["x"] } else { &[] }].concat());
        assert!(said.contains("NOPERM"), "{words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_when_a_backend_connects() {
    let server = start();
    // These are needed by some only, or tell themselves apart by what the server says to them.
    let others = ["ping", "select", "subscribe", "unsubscribe"];
    for command in user::commands().iter().filter(|c| !others.contains(&c.as_str())) {
        user::make(&server, "worker", "app", &[&format!("-{command}")]);
        let error = refusal(&format!("{}?prefix=app", user::url(&server, "worker")), command).await;
        let text = error.to_string().to_lowercase();
        assert!(text.contains(command), "without {command}: {text}");
    }
    assert_eq!(Store::over(&[server.url()], "app").keys(), [], "nothing was left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_channels_of_others_are_told_apart_when_a_backend_connects() {
    let server = start();
    user::make(&server, "worker", "app", &[]);
    let url = user::url(&server, "worker");
    refusal(&format!("{url}?prefix=other"), "its keys").await;
    refusal(&format!("{url}?prefix=ap"), "its keys").await;
    for (words, url) in [
        (&["resetkeys", "~{app:*"][..], format!("{url}?prefix=app")),
        (&["resetkeys", "~app:queues"], format!("{url}?prefix=app")),
        (&["resetkeys", "%R~{app:*", "~app:queues"], format!("{url}?prefix=app")),
        (&["resetchannels"], format!("{url}?prefix=app")),
        (&["-wait"], format!("{url}?prefix=app&wait=1")),
    ] {
        user::make(&server, "worker", "app", words);
        refusal(&url, &format!("{words:?}")).await;
    }
    let backend = connect(&format!("{url}?prefix=app&listen=false")).await;
    enqueue_one(&backend).await.expect("nobody is woken, so no channel is needed");
    user::make(&server, "worker", "app", &["+wait"]);
    connect(&format!("{url}?prefix=app&wait=1")).await;
}
