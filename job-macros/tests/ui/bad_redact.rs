#![allow(unused)]
use job_core::{JobContext, State};
use job_macros::job;

#[job(redact = ["card_numer"])]
async fn unknown(card_number: String) {}
#[job(redact = ["ctx"])]
async fn injected(id: u64, ctx: JobContext) {}
#[job(redact = ["card", "card"])]
async fn twice(card: String) {}
#[job(redact = "card")]
async fn no_list(card: String) {}
#[job(redact = [7, "card.number"])]
async fn no_names(card: String) {}
#[job(redact = ["card"], idempotency = "{card}:x", unique = args)]
async fn in_keys(card: String) {}

fn main() {}
