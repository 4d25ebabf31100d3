//! The memory backend against the model of the contract.

use backend_memory::MemoryBackend;
use job_conformance::model;

#[test]
fn follows_the_model() {
    model::run(model::Config::paused(), async || MemoryBackend::new());
}
