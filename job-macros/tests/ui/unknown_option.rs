#![allow(unused)]
use job_macros::job;

#[job(retry = 5, queu = "email", priorities = 1, frobnicate)]
async fn send(id: u64) {}

fn main() {}
