//! Batches: who waits for which, and how far they have come.

use crate::call::Reply;
use crate::schema::Statements;
use job_core::{BatchEvent, BatchId, BatchRecord, JobId, NewJob, When};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// A job that waits for an event of a batch.
#[derive(Debug)]
pub(crate) struct Wait {
    batch: Uuid,
    members: i32,
    event: BatchEvent,
    job: Uuid,
}

impl Wait {
    pub(crate) fn of(job: &NewJob) -> Option<Self> {
        let When::Batch { batch, members, event } = job.when else { return None };
        let members = i32::try_from(members).unwrap_or(i32::MAX).max(1);
        Some(Self { batch: batch.as_uuid(), members, event, job: job.id.as_uuid() })
    }

    pub(crate) async fn note(
        &self,
        statements: &Statements,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let query = sqlx::query(statements.wait_for_batch.clone()).bind(self.batch).bind(self.members);
        query.bind(self.event == BatchEvent::Death).bind(self.job).execute(connection).await?;
        Ok(())
    }
}

/// Counts what has arrived; the queues in which a job became ready.
pub(crate) fn advance<'c>(
    limit: &'c i32,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<String>> {
    Box::pin(sqlx::query_scalar(statements.advance.clone()).bind(limit).fetch_one(connection))
}

/// The queue of a job that is ready now and was not before.
pub(crate) fn run_now<'c>(
    id: &'c Uuid,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Option<String>> {
    Box::pin(sqlx::query_scalar(statements.run_now.clone()).bind(id).fetch_one(connection))
}

pub(crate) fn batch<'c>(
    id: &'c Uuid,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Option<BatchRecord>> {
    Box::pin(async move {
        let row = sqlx::query(statements.batch.clone()).bind(id).fetch_optional(connection).await?;
        let Some(row) = row else { return Ok(None) };
        let count = |name| row.try_get::<i32, _>(name).map(|n| u32::try_from(n).unwrap_or(0));
        let job = |name| row.try_get::<Option<Uuid>, _>(name).map(|id| id.map(JobId::from_uuid));
        let mut record = BatchRecord::new(BatchId::from_uuid(*id), count("members")?);
        (record.ended, record.deaths) = (count("ended")?, count("deaths")?);
        (record.on_complete, record.on_death) = (job("on_complete")?, job("on_death")?);
        Ok(Some(record))
    })
}
