#![allow(unused)]
use job_macros::job;

#[job(retries = 5, max_attempts = 6)]
async fn send(id: u64) {}

#[job(max_attempts = 6, retries = 5)]
async fn other(id: u64) {}

fn main() {}
