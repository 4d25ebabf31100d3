//! The PostgreSQL backend against the model of the contract, by the server's own clock.

mod support;

use backend_postgres::PostgresBackend;
use job_conformance::model;
use tokio::sync::OnceCell;

#[test]
fn follows_the_model() {
    // One store for all: cases have queues and keys of their own, and run side by side as workers do.
    let store = OnceCell::new();
    model::run(model::Config::real_time(), async || {
        store
            .get_or_init(async || {
                let url = format!("{}&pool=16", support::server().fresh_url());
                PostgresBackend::connect(&url).await.expect("connects")
            })
            .await
            .clone()
    });
}
