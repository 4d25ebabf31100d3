//! rusty-sidekiq: a backlog enqueued by concurrent producers, then drained by its processor.

#[path = "../../options.rs"]
mod options;

use anyhow::Result;
use async_trait::async_trait;
use options::{Count, Options};
use sidekiq::{Processor, ProcessorConfig, RedisConnectionManager, RedisPool, Worker, WorkerOpts, redis_rs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const QUEUE: &str = "bench";

#[derive(Clone)]
struct Noop(Arc<Count>);

#[async_trait]
impl Worker<String> for Noop {
    fn opts() -> WorkerOpts<String, Self> {
        WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, data: String) -> sidekiq::Result<()> {
        std::hint::black_box(&data);
        self.0.one();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let workers = options.setting("workers", 64)?;
    let producers = options.setting("producers", 64)?;
    let pool = pool(&options.url, options.setting("pool", workers.max(producers) + 4)?).await?;
    let enqueued = enqueue(&options, producers, &pool).await?;
    let drained = drain(&options, workers, &pool).await?;
    options::report("rusty-sidekiq", "0.15.2", options.jobs, enqueued, drained);
    Ok(())
}

/// Without bb8's default of a PING before each use.
async fn pool(url: &str, connections: usize) -> Result<RedisPool> {
    let connections = u32::try_from(connections)?;
    Ok(RedisPool::builder()
        .max_size(connections)
        .min_idle(connections)
        .test_on_check_out(false)
        .build(RedisConnectionManager::new(url)?)
        .await?)
}

/// It has no call for more than one job, so `--batch` says nothing here.
async fn enqueue(options: &Options, producers: usize, pool: &RedisPool) -> Result<Duration> {
    let data = "x".repeat(options.payload);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let (pool, data) = (pool.clone(), data.clone());
        let share = options.jobs / producers + usize::from(producer < options.jobs % producers);
        tasks.spawn(async move {
            for _ in 0..share {
                Noop::perform_async(&pool, data.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(began.elapsed())
}

async fn drain(options: &Options, workers: usize, pool: &RedisPool) -> Result<Duration> {
    let count = Arc::new(Count::of(options.jobs));
    let mut processor = Processor::new(pool.clone(), vec![QUEUE.to_owned()])
        .with_config(ProcessorConfig::default().num_workers(workers));
    processor.register(Noop(Arc::clone(&count)));
    let stop = processor.get_cancellation_token();
    // Before the clock, because the pool has none left while its workers wait.
    let mut server = redis_rs::Client::open(options.url.as_str())?.get_multiplexed_async_connection().await?;
    let began = Instant::now();
    let running = tokio::spawn(processor.run());
    count.all().await;
    // Its only acknowledgement: each worker removes its job from the set of work in progress.
    while !redis_rs::cmd("KEYS").arg("*:work").query_async::<Vec<String>>(&mut server).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    running.await?;
    Ok(took)
}
