//! A fresh prefix for each test, on one private server for each test program (or on `REDIS_URL`).
#![allow(dead_code, reason = "each test file uses its part")]

use backend_redis::RedisBackend;
use job_conformance::Harness;
use job_conformance::servers::RedisServer;

pub(crate) fn server() -> &'static RedisServer {
    RedisServer::shared()
}

pub(crate) async fn harness() -> Harness {
    let backend = RedisBackend::connect(&server().fresh_url()).await.expect("connects");
    Harness::real_time(backend).with_wake_ups()
}
