//! Calls that run to their end. A query future is never dropped half-way: each call has a task of its own, which goes on
//! when the caller gives up, and a connection whose call takes too long is closed, not reused.

use crate::error::{NAME, failed, is_conflict, not_sent};
use crate::schema::Statements;
use crate::warm::Connections;
use job_core::{BackendError, Effect, ErrorKind, fault_point, seeded_bug};
use sqlx::PgConnection;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What a statement needs and how it runs; no captures, so that it can be run again after a conflict.
pub(crate) type Work<A, T> = for<'c> fn(&'c A, &'c Statements, &'c mut PgConnection) -> Reply<'c, T>;
pub(crate) type Reply<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// How often a statement is tried again when the server undid it because of another one.
const CONFLICTS_MAX: u32 = 8;

/// Connections, the time that a call over it may take, and where calls run.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(crate) connections: Arc<Connections>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) deadline: Duration,
    /// The runtime that drives the connections, if it is not the caller's.
    pub(crate) home: Option<Handle>,
}

impl Calls {
    pub(crate) async fn run<A, T>(
        &self,
        operation: &'static str,
        args: A,
        work: Work<A, T>,
    ) -> Result<T, BackendError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let Self { connections, statements, deadline, home } = self.clone();
        let task = home.unwrap_or_else(Handle::current).spawn(async move {
            let mut warm = connections.acquire().await.map_err(|e| not_sent(operation, e))?;
            let mut conflicts = 0;
            loop {
                if fault_point!(NAME, "postgres.{}.before_send", operation.replace(' ', "_")) {
                    let text = "failed on purpose before it was sent";
                    let (kind, effect) = (ErrorKind::Transient, Effect::NotApplied);
                    return Err(BackendError::new(NAME, operation, kind, effect, text));
                }
                let outcome =
                    tokio::time::timeout(deadline, work(&args, &statements, &mut warm.connection)).await;
                match outcome {
                    Ok(Ok(answer)) => {
                        connections.give_back(warm);
                        if fault_point!(NAME, "postgres.{}.after_commit", operation.replace(' ', "_")) {
                            let text = "the answer was lost on purpose";
                            let (kind, effect) = (ErrorKind::Transient, Effect::Unknown);
                            return Err(BackendError::new(NAME, operation, kind, effect, text));
                        }
                        return Ok(answer);
                    }
                    Ok(Err(error))
                        if is_conflict(&error)
                            && conflicts < CONFLICTS_MAX
                            && !seeded_bug!("postgres_conflicts_fail") =>
                    {
                        conflicts += 1
                    }
                    Ok(Err(error)) => {
                        let error = failed(operation, error);
                        if error.effect() == Effect::Unknown {
                            connections.doubt();
                        }
                        return Err(error);
                    }
                    Err(_) => {
                        drop(warm.connection.detach());
                        return Err(too_slow(operation, deadline));
                    }
                }
            }
        });
        task.await.unwrap_or_else(|error| {
            let text = "the call was stopped with its runtime";
            Err(BackendError::new(NAME, operation, ErrorKind::Transient, Effect::Unknown, text)
                .with_source(error))
        })
    }
}

fn too_slow(operation: &'static str, deadline: Duration) -> BackendError {
    let text = format!("no answer within {deadline:?}");
    BackendError::new(NAME, operation, ErrorKind::Transient, Effect::Unknown, text)
}
