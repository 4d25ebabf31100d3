#![allow(unused)]
use job_macros::job;

#[job]
#[test]
async fn tested() {}
#[job]
#[tokio::main]
async fn started() {}

fn main() {}
