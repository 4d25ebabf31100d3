//! The conformance kit over a cluster.

mod support;

use job_conformance::Harness;
use job_conformance::servers::RedisCluster;
use job_core::LeaseId;
use std::sync::OnceLock;
use support::connect;

async fn clustered() -> Harness {
    static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| RedisCluster::start_with(&[("appendonly", "no")]));
    let url = format!("{}?prefix=t_{}", cluster.url(), LeaseId::random().as_uuid().simple());
    Harness::real_time(connect(&url).await).with_wake_ups()
}

job_conformance::suite!(clustered);
