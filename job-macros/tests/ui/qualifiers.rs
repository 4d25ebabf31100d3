#![allow(unused)]
use job_macros::job;

#[job]
async unsafe fn not_safe() {}
#[job(blocking)]
extern "C" fn foreign() {}
#[job(blocking)]
const fn constant() {}
#[job(blocking)]
async fn both() {}
#[job(blocking = true)]
fn value() {}

fn main() {}
