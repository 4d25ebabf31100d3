#![allow(unused)]
use job_macros::job;

#[job]
pub struct Send {
    id: u64,
}

fn main() {}
