//! `./dev bench scheduled`: what very many scheduled jobs cost the others, and how late a due job starts.

use steadfast_benches::{args, scheduled};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    args::each_store(scheduled::measure).await
}
