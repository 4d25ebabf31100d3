//! `./dev bench drain`: jobs per second, beside the ceiling of the same machine.

use steadfast_benches::args::{Args, HELP};
use steadfast_benches::{memory, postgres, redis};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    if args.wants("memory") {
        memory::measure(&args).await?;
    }
    if args.wants("postgres") {
        postgres::measure(&args).await?;
    }
    if args.wants("redis") {
        redis::measure(&args).await?;
    }
    Ok(())
}
