//! `./dev bench limits`: what limits cost that do not bind, and how far one that binds is used.

use steadfast_benches::args::{Args, HELP};
use steadfast_benches::limits;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    for store in ["memory", "postgres", "redis"] {
        if args.wants(store) {
            limits::measure(store, &args).await?;
        }
    }
    Ok(())
}
