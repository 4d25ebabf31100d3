#![allow(unused)]
use job_core::{JobContext, State};
use job_macros::job;

struct Mailer;

#[job]
async fn by_reference(mailer: &State<Mailer>) {}
#[job]
async fn mutable(ctx: &mut JobContext) {}
#[job]
async fn untyped(state: State) {}
#[job]
async fn stored(#[serde(default)] state: State<Mailer>) {}

fn main() {}
