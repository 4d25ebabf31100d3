//! `./dev bench limits`: what limits cost that do not bind, and how far one that binds is used.

use steadfast_benches::{args, limits};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    args::each_store(limits::measure).await
}
