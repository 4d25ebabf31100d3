#![allow(unused)]
use job_macros::job;

#[job]
async fn send((a, b): (u8, u8), _: u64) {}

fn main() {
    let _ = Send::new((1, 2), 3);
}
