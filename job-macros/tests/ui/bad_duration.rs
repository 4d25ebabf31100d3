#![allow(unused)]
use job_macros::job;

#[job(timeout = "30")]
async fn no_unit() {}
#[job(timeout = 30)]
async fn number() {}
#[job(timeout = "0s")]
async fn zero() {}
#[job(timeout = "30 s")]
async fn space() {}
#[job(timeout = "5min")]
async fn unit() {}
#[job(timeout = "30m1h")]
async fn order() {}
#[job(timeout = "1.5h")]
async fn fraction() {}
#[job(timeout = "99999999999999999999w")]
async fn overflow() {}
#[job(timeout = "")]
async fn empty() {}

fn main() {}
