//! Whole runtimes over a bad network in virtual time.

use backend_memory::MemoryBackend;
use job_conformance::sim;

#[test]
fn runtimes_over_a_bad_network_lose_nothing() {
    let config = sim::Config::of_seeds(20);
    let totals = sim::run(&config, async || MemoryBackend::new());
    println!("{totals}");
    if !config.is_one() {
        assert_eq!(totals.missing(10), [""; 0], "it proves too little: {totals}");
    }
}
