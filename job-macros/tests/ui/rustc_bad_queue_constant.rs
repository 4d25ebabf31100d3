#![allow(unused)]
use job_macros::job;

const EMAIL: &str = "E-Mail";

#[job(queue = EMAIL)]
async fn send() {}

fn main() {}
