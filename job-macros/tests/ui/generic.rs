#![allow(unused)]
use job_macros::job;

#[job]
async fn send<T: Clone>(value: T) {}

#[job]
async fn name<'a, const N: usize>(value: [u8; N]) {}

fn main() {}
