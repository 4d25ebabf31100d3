#![allow(unused)]
use job_macros::job;

#[job(cron("0 3 * * *"))]
async fn digest(customer: u64) {}

#[job(cron("0 3 * * *", overlap = skip), latest = |_| "all")]
async fn twice() {}

#[job(cron("0 3 * * *", overlap = queue), unique = |_| "all")]
async fn again() {}

fn main() {}
