//! `./dev bench drain`: jobs per second, beside the ceiling of the same machine.

use steadfast_benches::args::{Args, HELP};
use steadfast_benches::{memory, postgres};

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
    Ok(())
}
