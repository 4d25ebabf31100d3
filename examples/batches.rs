//! Jobs that belong together, the job that follows them, and a result that somebody waits for:
//! `cargo run --example batches`.

use std::time::Duration;
use steadfast::{JobResult, Runtime, job, jobs};

/// Kept for an hour, so that others can wait for it.
#[job(queue = "photos", result = "1h")]
async fn measure(photo: u32) -> JobResult<u64> {
    Ok(u64::from(photo) * 640)
}

#[job(queue = "photos")]
async fn resize(photo: u32) -> JobResult {
    println!("  resized {photo}");
    Ok(())
}

#[job(queue = "photos")]
async fn publish(album: String) -> JobResult {
    println!("  published {album}: every photo is there");
    Ok(())
}

#[job(queue = "photos")]
async fn tell_owner(album: String) -> JobResult {
    println!("  {album} needs somebody: a photo cannot be resized");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder(steadfast::connect("memory:").await?)
        .jobs(jobs![measure, resize, publish, tell_owner])
        .build()?
        .start();
    let client = runtime.client();

    println!("── A result");
    let job = Measure::new(3).enqueue(client).await?;
    let width = client.handle::<Measure>(job.id).result(Duration::from_secs(10)).await?;
    println!("  photo 3 is {width} wide");

    println!("── A batch");
    let batch = client
        .batch()
        .jobs((1..=5).map(Resize::new))
        .on_complete(Publish::new("holidays".to_owned()))
        .on_death(TellOwner::new("holidays".to_owned()))
        .enqueue()
        .await?;
    let published = loop {
        let status = client.batch_status(batch).await?.ok_or("it is known for a day")?;
        if status.is_complete() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("  {} of {} have ended", published.ended, published.members);
    runtime.shutdown().await?;
    Ok(())
}
