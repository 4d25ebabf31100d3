//! `./dev bench scheduled`: what very many scheduled jobs cost the others, and how late a due job starts.

use steadfast_benches::args::{Args, HELP};
use steadfast_benches::scheduled;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    for store in ["memory", "postgres", "redis"] {
        if args.wants(store) {
            scheduled::measure(store, &args).await?;
        }
    }
    Ok(())
}
