#![allow(unused)]
use job_macros::job;
use std::rc::Rc;

#[job]
async fn send(id: u64) {
    let shared = Rc::new(id);
    std::future::ready(()).await;
    drop(shared);
}

fn main() {}
