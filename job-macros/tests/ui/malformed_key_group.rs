#![allow(unused)]
use job_macros::job;

#[job(idempotency(ttl = "1h"))]
async fn no_key(id: u64) {}
#[job(idempotency(key = "id", ttl = "0s"))]
async fn no_time(id: u64) {}
#[job(idempotency(key = "id", scope = "kind"))]
async fn quoted_scope(id: u64) {}
#[job(idempotency(key = "id", scpoe = kind))]
async fn typo(id: u64) {}
#[job(unique(key = "id", ttl = "1h"))]
async fn unique_ttl(id: u64) {}
#[job(idempotency("id"))]
async fn positional(id: u64) {}

fn main() {}
