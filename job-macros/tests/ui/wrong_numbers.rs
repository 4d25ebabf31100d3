#![allow(unused)]
use job_macros::job;

#[job(retries = -1)]
async fn negative() {}
#[job(retries = "5")]
async fn quoted() {}
#[job(retries = five)]
async fn word() {}
#[job(retries = 1.5)]
async fn fraction() {}
#[job(max_attempts = 0)]
async fn never() {}
#[job(max_attempts = 5000000000)]
async fn many() {}
#[job(version = 0)]
async fn version() {}
#[job(snoozes = -1)]
async fn snoozes() {}
#[job(snoozes = never)]
async fn never_snoozes() {}

fn main() {}
