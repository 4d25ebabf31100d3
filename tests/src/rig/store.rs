//! The store under test.

use super::checker::{Dump, Kept};
use super::job::QUEUE;
use backend_postgres::PostgresBackend;
use job_core::{BackendError, Cursor, JobState, ListFilter, Operate, QueueStats};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use std::error::Error;
use std::str::FromStr as _;
use std::sync::Arc;

/// Any error, for those who only tell it.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// Where the jobs of a run are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    server: String,
    schema: String,
}

impl Place {
    /// A schema that nobody has used, of this server.
    pub(super) fn fresh(server: &str) -> Self {
        let schema = format!("rig_{}", job_core::LeaseId::random().as_uuid().simple());
        Self { server: server.to_owned(), schema }
    }

    /// The URL for a process of the run.
    pub(super) fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}schema={}&pool=4", self.server, self.schema)
    }

    /// What the store has in the end.
    pub(super) async fn dump(&self, backend: &Arc<dyn Operate>) -> Result<Dump, AnyError> {
        let mut dump = Dump { leftovers: self.leftovers().await?, ..Dump::default() };
        let stats = backend.stats(&QUEUE).await?;
        dump.pending = pending(&stats);
        dump.dead = stats.dead;
        for state in JobState::ALL {
            let mut after: Option<Cursor> = None;
            loop {
                let mut filter = ListFilter::new(QUEUE, state);
                (filter.after, filter.limit) = (after, 1_000);
                let page = backend.list(&filter).await?;
                let kept =
                    |j: &job_core::JobRecord| Kept { job: j.id, state: j.state, reason: j.dead_reason };
                dump.jobs.extend(page.jobs.iter().map(kept));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(dump)
    }

    /// Counted by the server itself, past the backend.
    async fn leftovers(&self) -> Result<Vec<(String, i64)>, AnyError> {
        let options = PgConnectOptions::from_str(&self.server)?.options([("search_path", &self.schema)]);
        let mut connection = options.connect().await?;
        let rows = sqlx::query(include_str!("leftovers.sql")).fetch_all(&mut connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// Connects a process of the run.
pub(super) async fn connect(url: &str) -> Result<Arc<dyn Operate>, BackendError> {
    Ok(Arc::new(PostgresBackend::connect(url).await?))
}

/// Jobs that are not over.
pub(super) fn pending(stats: &QueueStats) -> u64 {
    stats.ready + stats.running + stats.scheduled + stats.retrying
}
