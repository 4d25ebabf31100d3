//! Jobs that come by the clock: in the attribute, at run time, paused, run now.
//!
//! `cargo run --example schedules`

use std::error::Error;
use std::time::Duration;
use steadfast::memory::MemoryBackend;
use steadfast::{JobContext, Missed, Overlap, QueueName, Runtime, Schedule, job, jobs};
use tokio::time::sleep;

/// Every two seconds; a run that is still going on is not joined by another.
#[job(cron("*/2 * * * * *", overlap = skip))]
async fn tidies_up(ctx: JobContext) {
    println!("  tidies up for {}", shown(&ctx));
}

#[job]
async fn reports(customer: u64, ctx: JobContext) {
    println!("  reports to customer {customer} for {}", shown(&ctx));
}

fn shown(ctx: &JobContext) -> String {
    ctx.scheduled_for().map_or_else(|| "nobody".to_owned(), |tick| tick.strftime("%H:%M:%S").to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::builder(MemoryBackend::new()).jobs(jobs![tidies_up, reports]).build()?;
    let client = runtime.client();
    let running = runtime.start();

    println!("── A schedule of the attribute");
    sleep(Duration::from_secs(4)).await;

    println!("── One more at run time, every second");
    let schedules = client.schedules(QueueName::from_static("default"));
    let often = Schedule::new("customer-7", "* * * * * *")?.overlap(Overlap::Queue).missed(Missed::skip());
    schedules.put(&often, &Reports::new(7)).await?;
    sleep(Duration::from_secs(3)).await;

    println!("── Paused, and run by hand");
    schedules.pause(often.name()).await?;
    schedules.run_now(often.name()).await?;
    sleep(Duration::from_secs(2)).await;

    println!("── What is there");
    for schedule in schedules.list().await? {
        let next =
            schedule.next.first().map_or_else(|| "paused".to_owned(), |tick| format!("next at {tick}"));
        println!("  {} ({}, {}): {next}", schedule.name, schedule.cron, schedule.zone);
    }

    println!("── When the clocks jump");
    let night = Schedule::new("night", "30 2 * * *")?.tz("Europe/Berlin")?;
    let mut tick = "2026-03-28T00:00:00Z".parse()?;
    for _ in 0..3 {
        tick = night.next_after(tick).ok_or("it comes every night")?;
        println!("  {}", tick.in_tz("Europe/Berlin")?.strftime("%a %d %b %H:%M %:z"));
    }
    running.shutdown().await?;
    Ok(())
}
