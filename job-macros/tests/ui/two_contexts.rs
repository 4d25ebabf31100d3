#![allow(unused)]
use job_core::JobContext;
use job_macros::job;

#[job]
async fn send(a: JobContext, b: &JobContext) {}

fn main() {}
