#![allow(unused)]
use job_macros::job;

#[job(idempotency = "{}")]
async fn empty_capture(id: u64) {}
#[job(idempotency = "")]
async fn empty(id: u64) {}
#[job(idempotency = "{id")]
async fn open(id: u64) {}
#[job(idempotency = "{id:?}")]
async fn format(id: u64) {}
#[job(idempotency = "{{id}}")]
async fn constant(id: u64) {}
#[job(idempotency = id)]
async fn unquoted(id: u64) {}
#[job(idempotency = ())]
async fn tuple(id: u64) {}
#[job(idempotency = 5)]
async fn number(id: u64) {}
#[job(idempotency = (id + 1, id))]
async fn sum(id: u64) {}
#[job(idempotency = |a, b| a)]
async fn closure(id: u64) {}
#[job(idempotency)]
async fn flag(id: u64) {}

fn main() {}
