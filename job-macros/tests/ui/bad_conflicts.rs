#![allow(unused)]
use job_macros::job;

#[job(on_conflict = replace)]
async fn no_key(id: u64) {}
#[job(idempotency = "id", on_conflict = replace)]
async fn replaces_a_request(id: u64) {}
#[job(unique = "id", on_conflict = "replace")]
async fn quoted(id: u64) {}
#[job(unique = "id", on_conflict = latest)]
async fn not_a_word(id: u64) {}
#[job(unique(key = "id", on_conflict = replace))]
async fn inside(id: u64) {}
#[job(unique = "id", latest = "id")]
async fn two_keys(id: u64) {}
#[job(latest = "id", on_conflict = error)]
async fn says_it_twice(id: u64) {}
#[job(debounce = "id")]
async fn no_wait(id: u64) {}
#[job(debounce(key = "id", wait = "5s"))]
async fn no_max_wait(id: u64) {}
#[job(debounce(key = "id", wait = "5s", max_wait = "1s"))]
async fn short_max_wait(id: u64) {}
#[job(debounce(key = "id", wait = "0s", max_wait = "1s"))]
async fn zero(id: u64) {}
#[job(debounce(key = "id", delay = "5s", max_wait = none))]
async fn unknown(id: u64) {}
#[job(latest = "other")]
async fn no_argument(id: u64) {}

fn main() {}
