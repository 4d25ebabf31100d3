//! What was done to many jobs at once.

use crate::backend::Inner;
use crate::call::Reply;
use crate::enqueue::micros;
use crate::schedules::instant;
use crate::schema::Statements;
use jiff::Timestamp;
use job_core::{BackendError, OperationEntry, OperationId, OperationNote, QueueName};
use sqlx::{PgConnection, Row};

impl Inner {
    pub(crate) async fn note_operation(
        &self,
        queue: &QueueName,
        note: &OperationNote,
    ) -> Result<(), BackendError> {
        self.calls.run("note operation", (queue.as_str().to_owned(), note.clone()), write).await
    }

    pub(crate) async fn operations(
        &self,
        queue: &QueueName,
        limit: u32,
    ) -> Result<Vec<OperationEntry>, BackendError> {
        self.calls.run("operations", (queue.as_str().to_owned(), i64::from(limit)), read).await
    }
}

fn write<'c>(
    (queue, note): &'c (String, OperationNote),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        let number = i64::try_from(note.number).unwrap_or(i64::MAX);
        let query = sqlx::query(statements.note_operation.clone()).bind(queue).bind(note.id.as_uuid());
        query.bind(number).bind(micros(note.kept)).bind(&note.text).execute(connection).await?;
        Ok(())
    })
}

fn read<'c>(
    (queue, limit): &'c (String, i64),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<OperationEntry>> {
    Box::pin(async move {
        let rows =
            sqlx::query(statements.operations.clone()).bind(queue).bind(limit).fetch_all(connection).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let at = |micros| instant(micros).unwrap_or(Timestamp::UNIX_EPOCH);
            Ok(OperationEntry {
                id: OperationId::from_uuid(row.try_get(0)?),
                began: at(row.try_get(1)?),
                updated: at(row.try_get(2)?),
                number: row.try_get::<i64, _>(3)?.unsigned_abs(),
                text: row.try_get(4)?,
            })
        };
        rows.iter().map(read).collect()
    })
}
