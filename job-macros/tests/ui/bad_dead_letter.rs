#![allow(unused)]
use job_macros::job;

#[job(dead_letter = drop)]
async fn a_word(id: u64) {}
#[job(dead_letter = then)]
async fn nothing_then(id: u64) {}
#[job(dead_letter = then("tell_support"))]
async fn text(id: u64) {}
#[job(dead_letter = queue("other"))]
async fn a_queue(id: u64) {}

fn main() {}
