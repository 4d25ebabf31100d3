#![allow(unused)]
use job_macros::job;

struct Opaque;

fn other_numbers(_: u64, args: serde_json::Value) -> Result<serde_json::Value, String> {
    Ok(args)
}
fn no_text(_: u32, args: serde_json::Value) -> Result<serde_json::Value, Opaque> {
    Ok(args)
}

#[job(version = 2, upgrade = other_numbers)]
async fn wrong_signature(id: u64) {}
#[job(version = 2, upgrade = no_text)]
async fn wrong_error(id: u64) {}

fn main() {}
