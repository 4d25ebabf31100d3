//! Every state that two jobs and two workers can get into within nine events, and the memory backend in all of them.

use backend_memory::MemoryBackend;
use job_conformance::model;

#[test]
fn every_state_keeps_the_contract() {
    model::search(async || MemoryBackend::new());
}
