//! The store under test.

use super::checker::{Dump, Kept};
use super::job::QUEUE;
use super::storms::Sky;
use crate::servers::PostgresServer;
use backend_postgres::PostgresBackend;
use job_core::{BackendError, DeadReason, JobId, JobState, Operate, QueueStats};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use std::error::Error;
use std::str::FromStr as _;
use std::sync::Arc;

/// Any error, for those who only tell it.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// Where the jobs of a run are.
#[derive(Debug)]
pub(super) struct Place {
    server: String,
    schema: String,
    sky: Option<Arc<Sky>>,
    /// Kept for as long as the place is used.
    _own: Option<Arc<PostgresServer>>,
}

impl Place {
    /// A schema that nobody has used, of this server.
    pub(super) fn fresh(server: &str) -> Self {
        let schema = format!("rig_{}", job_core::LeaseId::random().as_uuid().simple());
        Self { server: server.to_owned(), schema, sky: None, _own: None }
    }

    /// On this server, which is ours.
    pub(super) fn on(self, server: Arc<PostgresServer>) -> Self {
        Self { _own: Some(server), ..self }
    }

    /// On the server under this sky.
    pub(super) fn under(self, sky: Sky) -> Self {
        Self { sky: Some(Arc::new(sky)), ..self }
    }

    pub(super) fn sky(&self) -> Option<Arc<Sky>> {
        self.sky.clone()
    }

    /// The URL for whoever must not be harmed.
    pub(super) fn url(&self) -> String {
        self.url_at(&self.server)
    }

    /// The URL for a process of the run.
    pub(super) fn url_of_children(&self) -> String {
        self.sky.as_ref().map_or_else(|| self.url(), |sky| self.url_at(&sky.url()))
    }

    fn url_at(&self, server: &str) -> String {
        let separator = if server.contains('?') { '&' } else { '?' };
        format!("{server}{separator}schema={}&pool=4", self.schema)
    }

    /// What the store has in the end: its rows as the server's own language tells them, past the backend, and the
    /// numbers of the queue as the backend tells them.
    pub(super) async fn dump(&self, backend: &Arc<dyn Operate>) -> Result<Dump, AnyError> {
        let stats = backend.stats(&QUEUE).await?;
        let mut connection = self.connection().await?;
        let mut dump = Dump { pending: pending(&stats), dead: stats.dead, ..Dump::default() };
        for row in sqlx::query(include_str!("dump.sql")).fetch_all(&mut connection).await? {
            let id: sqlx::types::Uuid = row.try_get(0)?;
            let (state, reason): (&str, Option<&str>) = (row.try_get(1)?, row.try_get(2)?);
            let state = JobState::from_word(state).ok_or_else(|| format!("no state is called {state:?}"))?;
            let reason = reason.and_then(DeadReason::from_word);
            dump.jobs.push(Kept { job: JobId::from_uuid(id), state, reason });
        }
        dump.leftovers = self.leftovers().await?;
        Ok(dump)
    }

    /// True if something is there that must go when every job is over.
    pub(super) async fn has_leftovers(&self) -> Result<bool, AnyError> {
        Ok(self.leftovers().await?.iter().any(|(_, rows)| *rows != 0))
    }

    async fn leftovers(&self) -> Result<Vec<(String, i64)>, AnyError> {
        let rows =
            sqlx::query(include_str!("leftovers.sql")).fetch_all(&mut self.connection().await?).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn connection(&self) -> Result<PgConnection, AnyError> {
        let options = PgConnectOptions::from_str(&self.server)?.options([("search_path", &self.schema)]);
        Ok(options.connect().await?)
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
