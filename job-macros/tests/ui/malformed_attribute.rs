#![allow(unused)]
use job_macros::job;

#[job("send")]
async fn text() {}
#[job(retries =, queue = "a")]
async fn value() {}
#[job(retries: 5)]
async fn colon() {}
#[job(, retries = 5)]
async fn comma() {}
#[job(retries = 5 queue = "a")]
async fn no_comma() {}
#[job(retries)]
async fn flag() {}
#[job(args = "Name", crate = 5)]
async fn names() {}

fn main() {}
