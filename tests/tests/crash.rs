//! Workers and producers are killed and frozen while jobs flow on a real server, and in all tests but the first that is killed
//! too and the network fails; no job may be lost, none may end twice, and no verdict of a lease that is over may be
//! accepted.

use job_conformance::rig::run::{Options, run};
use job_conformance::rig::{Store, report};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_kills_lose_nothing() {
    let options = Options {
        time: Duration::from_secs(90),
        seed: 1,
        storms: false,
        chatty: false,
        ..Options::new(env!("CARGO_BIN_EXE_rig").into(), 60)
    };
    let outcome = run(&options).await.expect("the run can be made");
    report::print(&outcome);
    assert!(outcome.is_good(), "see above");
    // Each point of a worker is struck at least 5 times, or the run is not good.
    assert!(outcome.tally.kills() >= 60);
}

/// Everything that can be done at each point inside of the runtime and of the backend is done there at least once, while
/// the server is killed and restarted, its connections are ended, and the network cuts, delays and swallows.
#[tokio::test(flavor = "multi_thread")]
async fn storms_lose_nothing() {
    let options = Options {
        time: Duration::from_secs(420),
        seed: 2,
        chatty: false,
        ..Options::new(env!("CARGO_BIN_EXE_rig").into(), 200)
    };
    let outcome = run(&options).await.expect("the run can be made");
    report::print(&outcome);
    assert!(outcome.is_good(), "see above");
}

/// The same on Redis, which flushes every write before it answers; it also forgets its scripts, pauses, stalls and is full.
#[tokio::test(flavor = "multi_thread")]
async fn storms_on_redis_lose_nothing() {
    let options = Options {
        store: Store::Redis,
        time: Duration::from_secs(300),
        calm: Duration::from_millis(1_200),
        everywhere: true,
        seed: 3,
        chatty: false,
        ..Options::new(env!("CARGO_BIN_EXE_rig").into(), 120)
    };
    let outcome = run(&options).await.expect("the run can be made");
    report::print(&outcome);
    assert!(outcome.is_good(), "see above");
}
