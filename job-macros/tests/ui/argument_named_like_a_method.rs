#![allow(unused)]
use job_macros::job;

#[job]
async fn send(enqueue: Option<u64>, new: u64) {}

fn main() {}
