#![allow(unused)]
use job_macros::job;

#[job(cron("0 3 * * *"), tags, encrypt, idempotency(key = "id", on_conflict = error))]
async fn send(id: u64) {}

fn main() {}
