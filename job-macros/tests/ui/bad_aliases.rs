#![allow(unused)]
use job_macros::job;

#[job(name = "mail.send", aliases = ["old", "mail.send", "old", "No"])]
async fn send() {}
#[job(aliases = "old")]
async fn text() {}

fn main() {}
