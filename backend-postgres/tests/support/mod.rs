//! A fresh schema for each test, on one private server for each test program (or on `DATABASE_URL`).
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod store;

use backend_postgres::PostgresBackend;
use job_conformance::Harness;
use job_conformance::servers::PostgresServer;

pub(crate) fn server() -> &'static PostgresServer {
    PostgresServer::shared()
}

pub(crate) async fn harness() -> Harness {
    let url = format!("{}&pool=4", server().fresh_url());
    Harness::real_time(PostgresBackend::connect(&url).await.expect("connects")).with_wake_ups()
}
