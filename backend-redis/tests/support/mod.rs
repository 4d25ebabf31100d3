//! A fresh prefix for each test, on one private server for each test program (or on `REDIS_URL`).
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod lines;
pub(crate) mod store;
pub(crate) mod traffic;
pub(crate) mod user;
pub(crate) mod work;

use backend_redis::RedisBackend;
use job_conformance::Harness;
use job_conformance::servers::RedisServer;

pub(crate) fn server() -> &'static RedisServer {
    RedisServer::shared()
}

pub(crate) async fn connect(url: &str) -> RedisBackend {
    RedisBackend::connect(url).await.expect("connects")
}

pub(crate) async fn harness() -> Harness {
    Harness::real_time(connect(&server().fresh_url()).await).with_wake_ups()
}
