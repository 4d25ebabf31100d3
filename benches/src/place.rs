//! Stores to measure, and jobs in them.

use crate::noop::{Count, QUEUE};
use crate::report::rate;
use anyhow::{Context as _, Result};
use job_conformance::servers::{PostgresServer, RedisServer};
use std::sync::Arc;
use std::time::Instant;
use steadfast::memory::MemoryBackend;
use steadfast::{Client, LeaseId, NewJob, Operate, Queue, RuntimeBuilder};

/// A store, started here.
pub(crate) struct Place {
    url: String,
    /// Jobs that a store in memory holds.
    room: usize,
    _server: Box<dyn std::any::Any>,
}

impl Place {
    pub(crate) fn of(store: &str) -> Self {
        let room = MemoryBackend::CAPACITY;
        match store {
            "postgres" => {
                let server = PostgresServer::options().setting("min_wal_size", "1GB").start();
                let url = server.url();
                let joint = if url.contains('?') { '&' } else { '?' };
                Self { url: format!("{url}{joint}pool=20&schema="), room, _server: Box::new(server) }
            }
            "redis" => {
                let server = RedisServer::options().fast().start();
                Self { url: format!("{}?prefix=", server.url()), room, _server: Box::new(server) }
            }
            _ => Self { url: "memory:".to_owned(), room, _server: Box::new(()) },
        }
    }

    /// One that holds so many jobs beside what is measured.
    pub(crate) fn with_room(store: &str, jobs: usize) -> Self {
        let place = Self::of(store);
        Self { room: place.room + jobs, ..place }
    }

    /// Nothing of what was there before.
    pub(crate) async fn fresh(&self) -> Result<Arc<dyn Operate>> {
        if self.url == "memory:" {
            return Ok(Arc::new(MemoryBackend::with_capacity(self.room)));
        }
        let name = format!("bench_{}", LeaseId::random().as_uuid().simple());
        Ok(steadfast::connect(&format!("{}{name}", self.url)).await?)
    }
}

/// Enqueues what `make` makes of each number.
pub(crate) async fn enqueue(
    store: &Arc<dyn Operate>,
    jobs: usize,
    make: impl Fn(usize) -> Result<NewJob>,
) -> Result<()> {
    let client = Client::new(Arc::clone(store));
    for from in (0..jobs).step_by(1_000) {
        let part = (from..jobs.min(from + 1_000)).map(&make).collect::<Result<Vec<_>>>()?;
        client.enqueue_new(&part).await?;
    }
    Ok(())
}

/// Jobs a second of a runtime, from its start until so many have run.
pub(crate) async fn run(runtime: RuntimeBuilder, concurrency: usize, jobs: usize) -> Result<f64> {
    let count = Arc::new(Count::of(jobs));
    let runtime = runtime
        .state_arc(Arc::clone(&count))
        .queue(QUEUE.as_str(), Queue::concurrency(concurrency))
        .build()?;
    let began = Instant::now();
    let mut took = None;
    // Fails if the runtime does, for then the jobs would never end.
    let ended = async {
        count.all().await;
        took = Some(began.elapsed());
    };
    runtime.run_until(ended).await?;
    Ok(rate(jobs, took.context("the runtime ended before its jobs did")?))
}

/// The only job of a list.
pub(crate) fn one<T>(list: Vec<T>) -> Result<T> {
    list.into_iter().next().context("a list of one job")
}
