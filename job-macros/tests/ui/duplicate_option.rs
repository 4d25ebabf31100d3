#![allow(unused)]
use job_macros::job;

#[job(retries = 3, queue = "a", retries = 5, backoff(max = "1m", max = "2m"), unique(key = "id", key = "id"))]
async fn send(id: u64) {}

fn main() {}
