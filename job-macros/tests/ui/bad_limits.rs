#![allow(unused)]
use job_macros::job;

#[job(limits = "stripe")]
async fn no_list(id: u64) {}
#[job(limits = ["Stripe", "a", "a"])]
async fn names(id: u64) {}
#[job(concurrency = 0)]
async fn nothing(id: u64) {}
#[job(concurrency(key = "id"))]
async fn no_limit(id: u64) {}
#[job(concurrency(limit = 2))]
async fn no_key(id: u64) {}
#[job(concurrency(key = "id", limits = 2))]
async fn unknown(id: u64) {}
#[job(rate_limit = "100")]
async fn no_time(id: u64) {}
#[job(rate_limit = 100)]
async fn number(id: u64) {}
#[job(rate_limit = "10/fortnight")]
async fn unit(id: u64) {}
#[job(rate_limit(key = "id", limit = "10/s", burst = 0))]
async fn no_burst(id: u64) {}
#[job(fair_by = "tenant", ordering_key = "id")]
async fn two_keys(id: u64, tenant: u64) {}
#[job(fair_by = "tenant")]
async fn no_argument(id: u64) {}

fn main() {}
