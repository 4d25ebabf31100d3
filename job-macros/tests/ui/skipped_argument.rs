#![allow(unused)]
use job_macros::job;

#[job]
async fn send(id: u64, #[serde(skip)] token: Option<String>, #[cfg(unix)] user: u32) {}

fn main() {}
