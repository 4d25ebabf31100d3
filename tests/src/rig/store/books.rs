//! A table of the application beside the jobs, for handlers that complete their jobs in its transactions.

use super::{AnyError, Store};
use backend_postgres::PostgresBackend;
use job_core::JobId;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use std::str::FromStr as _;
use std::time::Duration;

/// The table.
#[derive(Debug)]
pub(in crate::rig) struct Books {
    pub(in crate::rig) jobs: PostgresBackend,
    pool: PgPool,
}

impl Books {
    /// Those of the place at this URL, if such a store has any.
    pub(in crate::rig) async fn open(url: &str) -> Result<Option<Self>, AnyError> {
        if Store::of_url(url) != Ok(Store::Postgres) {
            return Ok(None);
        }
        let schema = url.split_once("schema=").map_or("", |(_, rest)| rest);
        let schema = schema.split('&').next().unwrap_or_default();
        let options = PgConnectOptions::from_str(url)?.options([("search_path", schema)]);
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(2));
        Ok(Some(Self { jobs: PostgresBackend::connect(url).await?, pool: pool.connect_lazy_with(options) }))
    }

    /// A transaction with a row for this job.
    pub(in crate::rig) async fn begin(
        &self,
        job: JobId,
    ) -> Result<sqlx::Transaction<'static, Postgres>, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("insert into outside (job) values ($1)").bind(job.as_uuid()).execute(&mut *tx).await?;
        Ok(tx)
    }
}
