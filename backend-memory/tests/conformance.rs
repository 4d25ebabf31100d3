//! The memory backend against the conformance kit.

use backend_memory::MemoryBackend;
use job_conformance::Harness;

#[allow(clippy::unused_async, reason = "factories of other backends connect")]
async fn fresh() -> Harness {
    Harness::paused(MemoryBackend::new()).with_wake_ups()
}

job_conformance::suite!(fresh);
