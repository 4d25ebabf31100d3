//! The whole suite on a real clock, as a server lives: time-dependent checks must not lean on paused time.

use backend_memory::MemoryBackend;
use job_conformance::{Harness, model};

#[allow(clippy::unused_async, reason = "factories of other backends connect")]
async fn fresh() -> Harness {
    Harness::real_time(MemoryBackend::new()).with_wake_ups()
}

job_conformance::suite!(fresh);

#[test]
fn follows_the_model() {
    model::run(model::Config::real_time().cases(64), async || MemoryBackend::new());
}
