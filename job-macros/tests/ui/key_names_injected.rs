#![allow(unused)]
use job_core::{JobContext, State};
use job_macros::job;

struct Mailer;

#[job(idempotency = "mailer", unique = "{id}{ctx}")]
async fn send(id: u64, State(mailer): State<Mailer>, ctx: JobContext) {}

fn main() {}
