#![allow(unused)]
use job_macros::job;

struct MyError;

#[job]
async fn send(id: u64) -> Result<(), MyError> {
    let _ = id;
    Err(MyError)
}

fn main() {}
