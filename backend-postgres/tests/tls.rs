//! The TLS options of the URL are honoured.

use backend_postgres::PostgresBackend;
use job_conformance::servers::PostgresServer;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A private server that speaks TLS with a certificate of its own for `localhost`, and where that certificate is.
fn server() -> (PostgresServer, PathBuf) {
    let server = PostgresServer::options().fast().start();
    let data = data_directory(server.dir().expect("it is our own"));
    server.stop();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let owner = fs::metadata(&data).expect("it is there");
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = data.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("shut");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("given away");
    }
    let settings = data.join("postgresql.auto.conf");
    let before = fs::read_to_string(&settings).unwrap_or_default();
    fs::write(&settings, format!("{before}\nssl = on\n")).expect("written");
    server.start_again();
    (server, data.join("server.crt"))
}

fn data_directory(dir: &Path) -> PathBuf {
    let inside = fs::read_dir(dir).expect("readable").filter_map(Result::ok).map(|e| e.path());
    std::iter::once(dir.to_owned())
        .chain(inside)
        .find(|p| p.join("PG_VERSION").exists())
        .expect("a data directory")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_decides_about_tls() {
    let (server, root) = tokio::task::block_in_place(server);
    let url = server.url().replace("127.0.0.1", "localhost");
    let root = root.display();
    for good in [
        "sslmode=disable".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={root}"),
        format!("sslmode=verify-full&sslrootcert={root}"),
    ] {
        PostgresBackend::connect(&format!("{url}?{good}")).await.unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    // Nobody whom the system trusts has signed this certificate.
    PostgresBackend::connect(&format!("{url}?sslmode=verify-full")).await.expect_err("it cannot be verified");
    let elsewhere = server.url();
    let error =
        PostgresBackend::connect(&format!("{elsewhere}?sslmode=verify-full&sslrootcert={root}")).await;
    error.expect_err("the certificate is for another name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_if_tls_is_required() {
    let server = tokio::task::block_in_place(|| PostgresServer::options().fast().start());
    let error = PostgresBackend::connect(&format!("{}?sslmode=require", server.url())).await;
    error.expect_err("the server does not offer it");
}
