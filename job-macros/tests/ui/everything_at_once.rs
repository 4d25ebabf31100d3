#![allow(unused)]
use job_macros::job;

#[job(retry = 5, timeout = 30, idempotency = "x")]
fn send(name: &str, (a, b): (u8, u8)) {}

fn main() {
    let _ = job_core::jobs![send];
}
