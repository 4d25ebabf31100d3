//! What a backend reads from the server's settings and its own URL, and what it refuses.

mod support;

use backend_redis::RedisBackend;
use job_conformance::servers::RedisServer;
use job_conformance::servers::redis::RedisOptions;
use job_core::{Backend, DurabilityClass, Effect, ErrorKind, MaintainRequest, Operate};
use std::time::Duration;
use support::connect;
use support::store::Store;
use support::work::{QUEUE, claim, drain, enqueue_one, job, jobs, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::block_in_place;

fn start(options: RedisOptions) -> RedisServer {
    block_in_place(|| options.start())
}

fn fast() -> RedisOptions {
    RedisServer::options().fast()
}

async fn refusal(url: &str) -> job_core::BackendError {
    let error = RedisBackend::connect(url).await.expect_err("it is refused");
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durability_class_is_read_from_the_settings() {
    let server = start(RedisServer::options());
    for (file, flush, class) in [
        ("yes", "always", DurabilityClass::LocalDisk),
        ("yes", "everysec", DurabilityClass::ProcessCrash),
        ("yes", "no", DurabilityClass::ProcessCrash),
        ("no", "always", DurabilityClass::Volatile),
    ] {
        for (name, value) in [("appendonly", file), ("appendfsync", flush)] {
            assert_eq!(server.cli(&["config", "set", name, value]), "OK");
        }
        assert_eq!(connect(&server.url()).await.info().durability, class, "{file} {flush}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_deletes_keys_is_refused() {
    let server = start(fast());
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        assert_eq!(server.cli(&["config", "set", "maxmemory-policy", policy]), "OK");
        let error = refusal(&server.url()).await;
        assert_eq!(error.kind(), ErrorKind::Permanent);
        let text = error.to_string();
        assert!(text.contains(policy) && text.contains("CONFIG SET maxmemory-policy noeviction"), "{text}");
    }
}

/// Somebody changes it later: nothing more is taken in until it is set back, and what runs can end.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_begins_to_delete_keys_is_given_no_more() {
    let server = start(fast());
    let backend = connect(&server.fresh_url()).await;
    backend.enqueue(&jobs(2)).await.expect("enqueue works");
    let held = claim(&backend, 1).await.expect("claim works");
    backend.ready().expect("all is well");
    let look = async |well: bool| {
        until("it is seen", async || {
            backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
            backend.ready().is_ok() == well
        })
        .await;
    };
    assert_eq!(server.cli(&["config", "set", "maxmemory-policy", "allkeys-lru"]), "OK");
    look(false).await;
    let refused = [
        backend.ready().expect_err("not well"),
        enqueue_one(&backend).await.expect_err("refused"),
        claim(&backend, 1).await.expect_err("refused"),
    ];
    for error in refused {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Transient, Effect::NotApplied), "{error}");
        let text = error.to_string();
        assert_eq!(text.matches("CONFIG SET maxmemory-policy noeviction").count(), 1, "{text}");
        assert_eq!(text.matches("nothing was changed").count(), 1, "said once: {text}");
    }
    support::work::settle(&backend, &held[0], job_core::Verdict::Complete).await.expect("what runs can end");
    assert_eq!(server.cli(&["config", "set", "maxmemory-policy", "noeviction"]), "OK");
    look(true).await;
    enqueue_one(&backend).await.expect("enqueue works");
    assert_eq!(drain(&backend, &QUEUE).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_will_do() {
    let server = start(fast().setting("requirepass", "s3cret"));
    let path = server.socket().display().to_string();
    let by_socket = connect(&format!("redis+unix://{path}?db=3&pass=s3cret&prefix=a")).await;
    let by_port = connect(&format!("{}/3?prefix=a", server.url())).await;
    let id = enqueue_one(&by_socket).await.expect("enqueue works");
    assert_eq!(drain(&by_port, &QUEUE).await, [id], "the same database of the same server");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_prefixes_are_apart() {
    let server = start(fast());
    let mut backends = Vec::new();
    for end in ["/1?prefix=a", "/2?prefix=a", "/2?prefix=b", "/2"] {
        backends.push(connect(&format!("{}{end}", server.url())).await);
    }
    let mut ids = Vec::new();
    for backend in &backends {
        ids.push(enqueue_one(backend).await.expect("enqueue works"));
    }
    for (backend, id) in backends.iter().zip(&ids) {
        for other in &ids {
            assert_eq!(backend.get(*other).await.expect("get works").is_some(), other == id);
        }
        assert_eq!(drain(backend, &QUEUE).await, [*id]);
    }
}

/// Speaks enough of the protocol to say that it is old.
async fn old_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_as_old(stream));
        }
    });
    port
}

async fn answer_as_old(stream: tokio::net::TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let words: usize = line.trim().strip_prefix('*')?.parse().ok()?;
        let mut command = Vec::new();
        for _ in 0..words {
            let mut size = String::new();
            stream.read_line(&mut size).await.ok()?;
            let size: usize = size.trim().strip_prefix('$')?.parse().ok()?;
            let mut word = vec![0; size + 2];
            stream.read_exact(&mut word).await.ok()?;
            command.push(String::from_utf8_lossy(&word[..size]).into_owned());
        }
        let facts = "redis_version:6.0.16\r\ncluster_enabled:0\r\n";
        let answer = match command[0].as_str() {
            "INFO" => format!("${}\r\n{facts}\r\n", facts.len()),
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused() {
    let error = refusal(&format!("redis://127.0.0.1:{}", old_server().await)).await;
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(error.to_string().contains("6.0.16"), "{error}");
}

/// All that anybody may see of an error or a backend.
fn everything(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_the_password() {
    const SECRET: &str = "hunter2hunter2";
    let server = start(fast().setting("requirepass", "another"));
    let port = server.port();
    for url in [
        format!("redis://:{SECRET}@127.0.0.1:{port}"),
        format!("redis://me:{SECRET}@127.0.0.1:{port}"),
        format!("redis://me:{SECRET}@127.0.0.1:1"),
        format!("redis://me:{SECRET}@nowhere.invalid"),
        format!("redis://me:{SECRET}@127.0.0.1:{port}?prefix=UPPER"),
        format!("redis://me:{SECRET}@127.0.0.1:{port},127.0.0.1:1"),
        format!("redis+unix://{}?pass={SECRET}", server.socket().display()),
        format!("rediss://me:{SECRET}@127.0.0.1:{port}"),
    ] {
        let error = refusal(&url).await;
        let text = everything(&error);
        assert!(!text.contains(SECRET), "{text}");
    }
    let error = refusal(&format!("redis://:{SECRET}@127.0.0.1:{port}")).await;
    assert_eq!(error.kind(), ErrorKind::Permanent, "waiting does not mend a password: {error}");
    let error = refusal(&format!("redis://127.0.0.1:{port}")).await;
    assert_eq!(error.kind(), ErrorKind::Permanent, "waiting does not mend a missing password: {error}");
    let error = refusal("redis://127.0.0.1:1").await;
    assert!(error.is_transient(), "a server may come: {error}");
    let backend = connect(&server.url()).await;
    assert!(!format!("{backend:?}{backend:#?}").contains("another"), "a backend keeps it to itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_waits_for_the_replicas_that_the_url_asks_for() {
    let server = start(fast().setting("repl-diskless-sync-delay", "0"));
    let url = format!("{}&wait=1", server.fresh_url());
    let hasty = connect(&format!("{url}&wait_ms=300")).await;
    let new = job();
    let error = hasty.enqueue(std::slice::from_ref(&new)).await.expect_err("there is no replica");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Transient, Effect::Unknown), "{error}");
    assert!(hasty.get(new.id).await.expect("get works").is_some(), "the job is there all the same");

    // A replica that a busy machine lets wait is not one that is missing.
    let backend = connect(&format!("{url}&wait_ms=60000")).await;
    let replica = start(fast().setting("replicaof", &format!("127.0.0.1 {}", server.port())));
    until("the replica has everything", async || {
        let info = server.cli(&["info", "replication"]);
        let offset = |name: &str| {
            let number = info.split_once(name)?.1.split([',', '\r', '\n']).next()?;
            number.parse::<u64>().ok()
        };
        offset("state=online,offset=").is_some_and(|o| Some(o) == offset("master_repl_offset:"))
    })
    .await;
    let answers = backend.enqueue(std::slice::from_ref(&new)).await.expect("now there is one");
    assert_eq!((answers[0].id, answers[0].deduplicated), (new.id, false), "a repetition, not a second job");
    let more = enqueue_one(&backend).await.expect("enqueue works");
    // The replica has what was acknowledged, at once.
    let prefix = support::work::prefix_of(&url);
    let mut there = Store::over(&[replica.url()], prefix);
    for id in [new.id, more] {
        let found =
            there.ask(&[b"HEXISTS", format!("{{{prefix}:q:0}}j").as_bytes(), id.as_uuid().as_bytes()]);
        assert_eq!(found, redis::Value::Int(1), "{id} is missing on the replica");
    }
    // Claims and verdicts wait for nobody.
    block_in_place(|| replica.kill9());
    assert_eq!(drain(&backend, &QUEUE).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_wait_is_refused() {
    // There is no file to flush, or not even such a command.
    let server = start(fast());
    let error = refusal(&format!("{}?wait_fsync=true", server.url())).await;
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    assert!(error.to_string().contains("WAITAOF"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_waits_for_the_disk_where_the_server_can() {
    let server = start(RedisServer::options().setting("appendfsync", "everysec"));
    let can = !server.cli(&["command", "docs", "waitaof"]).is_empty();
    let url = format!("{}&wait_fsync=true&wait_ms=10000", server.fresh_url());
    if can {
        let backend = connect(&url).await;
        let id = enqueue_one(&backend).await.expect("enqueue works");
        assert_eq!(drain(&backend, &QUEUE).await, [id]);
    } else {
        refusal(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_alone_never_listens() {
    let server = start(fast());
    let backend = connect(&format!("{}&listen=false", server.fresh_url())).await;
    let wait = tokio::time::timeout(Duration::from_millis(300), backend.wait(&QUEUE));
    assert!(wait.await.is_err(), "nothing wakes it");
    assert_eq!(server.cli(&["client", "list", "type", "pubsub"]), "", "nobody has subscribed");
}
