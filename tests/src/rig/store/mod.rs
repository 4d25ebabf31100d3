//! The store under test.

mod books;
mod postgres;
mod redis;
mod redis_keys;

pub(super) use books::Books;

use super::job::QUEUE;
use crate::judge::outside::Call;
use crate::judge::point::{EFFECT, POSTGRES, Point, REDIS, RUNTIME, TRANSACTION};
use crate::judge::storm::Storm;
use crate::judge::{Dump, Kept};
use crate::servers::place::with_parameter;
use async_trait::async_trait;
use backend_postgres::PostgresBackend;
use backend_redis::RedisBackend;
use job_core::{BackendError, JobId, Operate, QueueStats};
use std::error::Error;
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Any error, for those who only tell it.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// A kind of store that the rig knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
}

impl Store {
    /// The kind of store that a URL names.
    ///
    /// # Errors
    /// If the rig does not know it.
    pub fn of_url(url: &str) -> Result<Self, String> {
        match url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => Ok(Self::Postgres),
            scheme if scheme.starts_with("redis") => Ok(Self::Redis),
            scheme => Err(format!("{scheme}: URLs are not for the rig: use postgres: or redis:")),
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        }
    }

    /// The points inside of the product that a worker passes all the time.
    pub fn points(self) -> impl Iterator<Item = Point> {
        let (own, transaction) = match self {
            Self::Postgres => (POSTGRES, &TRANSACTION[..]),
            Self::Redis => (REDIS, &[][..]),
        };
        RUNTIME.into_iter().chain(EFFECT).chain(own).chain(transaction.iter().copied()).map(Point::Within)
    }

    /// What can be done to a server of ours, its death first.
    #[must_use]
    pub fn storms(self) -> &'static [Storm] {
        let (common, redis) = Storm::ALL.split_at(10);
        debug_assert_eq!(redis[0], Storm::ScriptsFlushed, "what only Redis has comes last");
        match self {
            Self::Postgres => common,
            Self::Redis => &Storm::ALL,
        }
    }

    /// Somebody else's server at this URL, where the run makes a place of its own.
    pub(super) fn given(self, url: &str) -> Arc<dyn Ground> {
        match self {
            Self::Postgres => Arc::new(postgres::Postgres::given(url)),
            Self::Redis => Arc::new(redis::Redis::given(url)),
        }
    }

    /// A server of our own. Blocks until it runs.
    pub(super) fn start(self) -> Arc<dyn Ground> {
        match self {
            Self::Postgres => Arc::new(postgres::Postgres::start()),
            Self::Redis => Arc::new(redis::Redis::start()),
        }
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "postgres" => Ok(Self::Postgres),
            "redis" => Ok(Self::Redis),
            _ => Err(format!("{word} is no store of the rig: postgres or redis")),
        }
    }
}

/// Where the jobs of a run are: a place of its own on a server.
#[async_trait]
pub(super) trait Ground: Debug + Send + Sync {
    /// The URL for whoever must not be harmed.
    fn url(&self) -> String;

    /// The same place, at another port of 127.0.0.1.
    fn url_at(&self, port: u16) -> String;

    /// The port of the server, which is ours.
    fn port(&self) -> u16;

    /// Ends the server by SIGKILL, with its children. It is ours, as for all that follows. Blocks.
    fn kill9(&self);

    /// Ends the server in good order. Blocks.
    fn stop(&self);

    /// Starts the server on what it has left. Blocks until it answers.
    fn start_again(&self);

    /// What can be done to this server only in its own words, for this long if it takes time. It is as before afterwards.
    async fn strike(&self, storm: Storm, time: Duration) -> Result<(), AnyError>;

    /// Every job that the store has, told past the backend.
    async fn jobs(&self) -> Result<Vec<Kept>, AnyError>;

    /// Makes what the handlers need beside the jobs, once the jobs have their place.
    async fn prepare(&self) -> Result<(), AnyError> {
        Ok(())
    }

    /// The job of each row that their transactions have left.
    async fn rows(&self) -> Result<Vec<JobId>, AnyError> {
        Ok(Vec::new())
    }

    /// How many there are of each thing that must not be there when every job is over, told past the backend.
    async fn leftovers(&self) -> Result<Vec<(String, i64)>, AnyError>;
}

/// What the store has in the end: told past the backend, and the numbers of the queue as the backend tells them. With the
/// calls that other sides have heard.
pub(super) async fn dump(
    ground: &dyn Ground,
    backend: &dyn Operate,
    calls: Vec<Call>,
) -> Result<Dump, AnyError> {
    let stats = backend.stats(&QUEUE).await?;
    let (jobs, leftovers) = (ground.jobs().await?, ground.leftovers().await?);
    let rows = ground.rows().await?;
    Ok(Dump { jobs, pending: pending(&stats), dead: stats.dead, leftovers, calls, rows })
}

/// True if something is there that must go when every job is over.
pub(super) async fn has_leftovers(ground: &dyn Ground) -> Result<bool, AnyError> {
    Ok(ground.leftovers().await?.iter().any(|(_, count)| *count != 0))
}

/// Connects a process of the run.
pub(super) async fn connect(url: &str) -> Result<Arc<dyn Operate>, BackendError> {
    Ok(match Store::of_url(url) {
        Ok(Store::Redis) => Arc::new(RedisBackend::connect(url).await?),
        // Which says what it thinks of a URL that it does not know.
        _ => Arc::new(PostgresBackend::connect(url).await?),
    })
}

/// Jobs that are not over.
pub(super) fn pending(stats: &QueueStats) -> u64 {
    stats.ready + stats.running + stats.scheduled + stats.retrying
}

/// A name that nobody has used, for the place of a run.
fn fresh_name() -> String {
    format!("rig_{}", job_core::LeaseId::random().as_uuid().simple())
}
