#![allow(unused)]
use job_macros::job;

#[job(ttl = "0s")]
async fn zero() {}
#[job(ttl = 600)]
async fn number() {}
#[job(ttl = "10 m")]
async fn space() {}
#[job(ttl = none)]
async fn none() {}
#[job(deadline = "2026-01-01T00:00:00Z")]
async fn deadline() {}

fn main() {}
