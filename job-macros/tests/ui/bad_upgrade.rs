#![allow(unused)]
use job_macros::job;

fn upgrade(_: u32, args: serde_json::Value) -> Result<serde_json::Value, String> {
    Ok(args)
}

#[job(upgrade = upgrade)]
async fn no_version(id: u64) {}
#[job(version = 1, upgrade = upgrade)]
async fn version_one(id: u64) {}
#[job(version = 2, upgrade = "upgrade")]
async fn text(id: u64) {}
#[job(version = 0, upgrade = upgrade)]
async fn one_mistake(id: u64) {}

fn main() {}
