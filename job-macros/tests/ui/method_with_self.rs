#![allow(unused)]
use job_macros::job;

struct Worker;

impl Worker {
    #[job]
    async fn send(&self, id: u64) {}
}

fn main() {}
