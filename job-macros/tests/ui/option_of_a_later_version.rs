#![allow(unused)]
use job_macros::job;

#[job(singleton, tags, encrypt, idempotency(key = "id", on_conflict = error))]
async fn send(id: u64) {}

fn main() {}
