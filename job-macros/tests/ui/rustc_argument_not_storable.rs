#![allow(unused)]
use job_macros::job;

struct Mailer;

#[job]
async fn send(mailer: Mailer) {
    drop(mailer);
}

fn main() {}
