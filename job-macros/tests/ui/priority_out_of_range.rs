#![allow(unused)]
use job_macros::job;

#[job(priority = 12)]
async fn twelve() {}
#[job(priority = urgent)]
async fn urgent() {}
#[job(priority = "high")]
async fn quoted() {}

fn main() {}
