//! PostgreSQL under the rig: what its tables hold, and what can be done to it.

use super::{AnyError, Ground, fresh_name, with_parameter};
use crate::judge::Kept;
use crate::judge::storm::Storm;
use crate::servers::PostgresServer;
use async_trait::async_trait;
use job_core::{DeadReason, JobId, JobState};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::str::FromStr as _;
use std::time::Duration;
use tokio::time::sleep;

/// More connections than the server has.
const CROWD: usize = 200;

/// A schema of a server.
#[derive(Debug)]
pub(super) struct Postgres {
    server: String,
    schema: String,
    own: Option<PostgresServer>,
}

impl Postgres {
    pub(super) fn given(url: &str) -> Self {
        Self { server: url.to_owned(), schema: fresh_name(), own: None }
    }

    pub(super) fn start() -> Self {
        let own = PostgresServer::start();
        Self { server: own.url(), schema: fresh_name(), own: Some(own) }
    }

    fn own(&self) -> &PostgresServer {
        self.own.as_ref().expect("only a server of ours is harmed")
    }

    fn place(&self, server: &str) -> String {
        with_parameter(server, &format!("schema={}&pool=4", self.schema))
    }

    async fn connection(&self) -> Result<PgConnection, AnyError> {
        let options = PgConnectOptions::from_str(&self.server)?.options([("search_path", &self.schema)]);
        Ok(options.connect().await?)
    }

    async fn terminate(&self) -> Result<(), AnyError> {
        let mut connection = PgConnection::connect(&self.server).await?;
        sqlx::raw_sql(include_str!("terminate.sql")).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Takes every connection that is left, and has the server end those of the workers, who cannot come back then.
    async fn crowd(&self, time: Duration) -> Result<(), AnyError> {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            match PgConnection::connect(&self.server).await {
                Ok(connection) => crowd.push(connection),
                Err(_) => break,
            }
        }
        let last = crowd.last_mut().ok_or("the server takes no connection at all")?;
        sqlx::raw_sql(include_str!("terminate.sql")).execute(last).await?;
        sleep(time).await;
        for connection in crowd {
            // The server may have ended it.
            let _ = connection.close().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Ground for Postgres {
    fn url(&self) -> String {
        self.place(&self.server)
    }

    fn url_at(&self, port: u16) -> String {
        self.place(&format!("postgres://postgres@127.0.0.1:{port}/postgres"))
    }

    fn port(&self) -> u16 {
        self.own().port()
    }

    fn kill9(&self) {
        self.own().kill9();
    }

    fn stop(&self) {
        self.own().stop();
    }

    fn start_again(&self) {
        self.own().start_again();
    }

    async fn strike(&self, storm: Storm, time: Duration) -> Result<(), AnyError> {
        match storm {
            Storm::Terminated => self.terminate().await,
            Storm::Crowded => self.crowd(time).await,
            _ => Err(format!("PostgreSQL knows no storm of {}", storm.as_str()).into()),
        }
    }

    async fn jobs(&self) -> Result<Vec<Kept>, AnyError> {
        let rows = sqlx::query(include_str!("dump.sql")).fetch_all(&mut self.connection().await?).await?;
        let kept = |row: &sqlx::postgres::PgRow| {
            let id: sqlx::types::Uuid = row.try_get(0)?;
            let (state, reason): (&str, Option<&str>) = (row.try_get(1)?, row.try_get(2)?);
            let state = JobState::from_word(state).ok_or_else(|| format!("no state is called {state:?}"))?;
            let reason = reason.and_then(DeadReason::from_word);
            Ok(Kept { job: JobId::from_uuid(id), state, reason })
        };
        rows.iter().map(kept).collect()
    }

    async fn prepare(&self) -> Result<(), AnyError> {
        sqlx::query("create table outside (job uuid not null)")
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    async fn rows(&self) -> Result<Vec<JobId>, AnyError> {
        let jobs: Vec<sqlx::types::Uuid> =
            sqlx::query_scalar("select job from outside").fetch_all(&mut self.connection().await?).await?;
        Ok(jobs.into_iter().map(JobId::from_uuid).collect())
    }

    async fn leftovers(&self) -> Result<Vec<(String, i64)>, AnyError> {
        let rows =
            sqlx::query(include_str!("leftovers.sql")).fetch_all(&mut self.connection().await?).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}
