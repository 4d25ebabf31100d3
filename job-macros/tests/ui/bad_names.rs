#![allow(unused)]
use job_macros::job;

#[job(name = "Send Invoice")]
async fn name() {}
#[job(name = "")]
async fn empty() {}
#[job(name = send)]
async fn unquoted() {}
#[job(queue = "E-Mail")]
async fn queue() {}
#[job(queue = "a-queue-name-that-is-longer-than-the-sixty-four-bytes-that-a-store-takes")]
async fn long() {}
#[job]
#[allow(non_snake_case)]
async fn sendInvoice() {}

fn main() {}
