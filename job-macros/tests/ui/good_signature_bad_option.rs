#![allow(unused)]
use job_macros::job;

// What is expanded in spite of the mistake is the whole job, so its users report nothing.
#[job(timeout = 30)]
async fn send(id: u64, locale: Option<String>) {}

async fn use_it(client: &job_core::Client) {
    let _ = Send::new(1).locale("de").enqueue(client).await;
    let _ = Send { id: 1, locale: None };
}

fn main() {
    let _ = job_core::jobs![send];
    let _ = use_it;
}
