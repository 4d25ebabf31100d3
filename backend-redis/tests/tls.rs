//! `rediss:` and the certificate that the URL names.

mod support;

use backend_redis::RedisBackend;
use job_conformance::servers::RedisServer;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use support::connect;
use support::work::{QUEUE, drain, enqueue_one};

/// A private server that speaks TLS on a second port, with a certificate of its own for `localhost`, and where that
/// certificate is.
fn server() -> (RedisServer, u16, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let server = RedisServer::options().fast().start();
    let dir = server.dir().expect("it is our own").to_owned();
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        fs::write(dir.join(name), text).expect("written");
    }
    let root = dir.join("server.crt");
    let path = |name: &str| dir.join(name).display().to_string();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let settings = [
        ("tls-auth-clients", "no".to_owned()),
        ("tls-cert-file", path("server.crt")),
        ("tls-key-file", path("server.key")),
        ("tls-ca-cert-file", path("server.crt")),
        ("tls-port", port.to_string()),
    ];
    for (name, value) in &settings {
        assert_eq!(server.cli(&["config", "set", name, value]), "OK", "{name}");
    }
    (server, port, root)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_decides_about_tls() {
    let (server, port, root) = tokio::task::block_in_place(server);
    let root = root.display();
    let backend = connect(&format!("rediss://localhost:{port}/1?ca={root}")).await;
    let id = enqueue_one(&backend).await.expect("enqueue works");
    let plain = connect(&format!("{}/1", server.url())).await;
    assert_eq!(drain(&plain, &QUEUE).await, [id]);

    // Nobody whom the system trusts has signed this certificate.
    RedisBackend::connect(&format!("rediss://localhost:{port}")).await.expect_err("it cannot be verified");
    let elsewhere = format!("rediss://127.0.0.1:{port}?ca={root}");
    RedisBackend::connect(&elsewhere).await.expect_err("the certificate is for another name");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let path = server.dir().expect("it is our own").join("other.crt");
    fs::write(&path, other.cert.pem()).expect("written");
    let foreign = format!("rediss://localhost:{port}?ca={}", path.display());
    RedisBackend::connect(&foreign).await.expect_err("somebody else has signed it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_if_tls_is_required() {
    let server = tokio::task::block_in_place(|| RedisServer::options().fast().start());
    RedisBackend::connect(&format!("rediss://127.0.0.1:{}", server.port())).await.expect_err("no TLS there");
    for path in
        ["/nowhere".to_owned(), server.dir().expect("it is our own").join("redis.conf").display().to_string()]
    {
        let error = RedisBackend::connect(&format!("rediss://127.0.0.1:1?ca={path}")).await;
        let error = error.expect_err("there is no certificate in it");
        assert!(!error.is_transient() && error.to_string().contains(&path), "{error}");
    }
}
