//! The Redis backend against the model of the contract, by the server's own clock.

mod support;

use backend_redis::RedisBackend;
use job_conformance::model;
use tokio::sync::OnceCell;

#[test]
fn follows_the_model() {
    // One store for all: cases have queues and keys of their own, and run side by side as workers do.
    let store = OnceCell::new();
    model::run(model::Config::real_time(), async || {
        store
            .get_or_init(async || {
                RedisBackend::connect(&support::server().fresh_url()).await.expect("connects")
            })
            .await
            .clone()
    });
}
