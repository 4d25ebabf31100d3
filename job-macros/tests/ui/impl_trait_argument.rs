#![allow(unused)]
use job_macros::job;

#[job]
async fn send(name: impl Into<String>, other: &impl Clone) {}

fn main() {}
