#![allow(unused)]
use job_macros::job;
use std::collections::BTreeMap;

#[job]
async fn text(name: &str, ids: &[u64], labels: BTreeMap<String, &'static str>) {}

struct Pool;

#[job]
async fn shared(pool: &Pool, id: u64) {}

fn main() {
    let _ = Text::new("a", &[1], BTreeMap::new());
}
