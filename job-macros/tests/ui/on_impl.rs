#![allow(unused)]
use job_macros::job;

struct Worker;

#[job]
impl Worker {}

fn main() {}
