#![allow(unused)]
use job_macros::job;

#[job(backoff(base = "1h", max = "1m"))]
async fn larger() {}
#[job(backoff = "exponentail")]
async fn typo() {}
#[job(backoff = "10s")]
async fn delay() {}
#[job(backoff(fixed, factor = 2))]
async fn fixed() {}
#[job(backoff(quadratic))]
async fn kind() {}
#[job(backoff(factor = 1, jitter = "some", bsae = "1s"))]
async fn values() {}
#[job(backoff = [])]
async fn empty() {}
#[job(backoff = ["10s", "1"])]
async fn list() {}
#[job(backoff = 10)]
async fn number() {}
#[job(backoff)]
async fn flag() {}

fn main() {}
