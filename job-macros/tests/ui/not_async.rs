#![allow(unused)]
use job_macros::job;

#[job]
fn send(id: u64) {}

fn main() {
    // The stand-in keeps callers compiling: one mistake, one error.
    let _ = job_core::jobs![send];
    let _ = Send::new(1);
}
