//! Five schedulers fire one schedule while they are killed, frozen and cut off in the middle of it: each tick is enqueued once.

use job_conformance::rig::Store;
use job_conformance::rig::ticks::{TicksOptions, run_ticks};
use job_conformance::servers::{PostgresServer, RedisServer};
use std::time::Duration;

async fn each_tick_is_enqueued_once(store: Store, url: String, seed: u64) {
    let time = Duration::from_secs(25);
    let options =
        TicksOptions { program: env!("CARGO_BIN_EXE_rig").into(), store, url, schedulers: 5, time, seed };
    let outcome = run_ticks(&options).await.expect("the run can be made");
    println!("{}: {outcome:?}", store.name());
    assert_eq!(outcome.wrong, [""; 0], "see above");
    assert!(outcome.ticks >= 20 && outcome.kills >= 20 && outcome.struck >= 10, "it proves little");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_each_tick_is_enqueued_once() {
    each_tick_is_enqueued_once(Store::Postgres, PostgresServer::shared().fresh_url(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_each_tick_is_enqueued_once() {
    each_tick_is_enqueued_once(Store::Redis, RedisServer::shared().fresh_url(), 2).await;
}
