//! apalis-redis: a backlog enqueued in bulk, then drained by its workers.

#[path = "../../options.rs"]
mod options;

use anyhow::{Context as _, Result, bail};
use apalis::prelude::*;
use apalis_redis::{Client, Config, ConnectionManager, RedisStorage};
use options::{Count, Options};
use redis::aio::ConnectionManagerConfig;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const QUEUE: &str = "bench";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noop {
    data: String,
}

async fn noop(job: Noop, count: Data<Arc<Count>>) -> Result<(), BoxDynError> {
    std::hint::black_box(&job.data);
    count.one();
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let config = Config::default()
        .queue(QUEUE)
        .batch_size(options.setting("fetch", 4_000)?)
        .lock_tasks(options.setting("locks", 0)? == 1)
        .emit_events(options.setting("events", 0)? == 1);
    let mut server = connect(&options.url).await?;
    let enqueued = enqueue(&options, &config, &server).await?;
    if options.setting("promote", 1)? == 1 {
        promote(&config, &mut server).await?;
    }
    let drained = drain(&options, &config, &mut server).await?;
    options::report("apalis-redis", "1.0.0", options.jobs, enqueued, drained);
    Ok(())
}

/// A worker ends with the first answer that is late, by default after half a second.
async fn connect(url: &str) -> Result<ConnectionManager> {
    let patient = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    Ok(Client::open(url)?.get_connection_manager_with_config(patient).await?)
}

async fn enqueue(options: &Options, config: &Config, server: &ConnectionManager) -> Result<Duration> {
    let mut storage = RedisStorage::<Noop>::new(server.clone()).with_config(config.clone());
    let data = "x".repeat(options.payload);
    let began = Instant::now();
    let mut left = options.jobs;
    while left > 0 {
        let now = left.min(options.batch);
        storage.push_bulk(vec![Noop { data: data.clone() }; now]).await?;
        left -= now;
    }
    Ok(began.elapsed())
}

/// Does what `fetch_next.lua` does with jobs that are due, a slice at a time: the script itself unpacks
/// all of them onto Lua's stack, which takes just under 8,000.
async fn promote(config: &Config, server: &mut ConnectionManager) -> Result<()> {
    let script = redis::Script::new(include_str!("promote.lua"));
    loop {
        let moved: usize = script
            .key(config.scheduled_jobs_set())
            .key(config.active_jobs_list())
            .invoke_async(server)
            .await?;
        if moved == 0 {
            return Ok(());
        }
    }
}

async fn drain(options: &Options, config: &Config, server: &mut ConnectionManager) -> Result<Duration> {
    let workers = options.setting("workers", 2)?;
    let count = Arc::new(Count::of(options.jobs));
    let mut storages = Vec::new();
    for _ in 0..workers {
        let connection = connect(&options.url).await?;
        storages.push(RedisStorage::<Noop>::new(connection).with_config(config.clone()));
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (number, storage) in storages.into_iter().enumerate() {
        let worker = WorkerBuilder::new(format!("bench-{number}"))
            .backend(storage.poll_with_interval(Duration::from_millis(10)))
            .data(Arc::clone(&count))
            .concurrency(options.concurrency.div_ceil(workers))
            .parallelize(tokio::spawn)
            .build(noop);
        running.spawn(worker.run());
    }
    tokio::select! {
        () = count.all() => {}
        ended = running.join_next() => bail!("a worker ended: {:?}", ended.context("no worker")?),
    }
    while redis::cmd("SCARD").arg(config.done_jobs_set()).query_async::<usize>(server).await? < options.jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(began.elapsed())
}
