#![allow(unused)]
struct NotAJob;

fn main() {
    let _ = job_core::jobs![NotAJob];
}
