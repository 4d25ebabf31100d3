//! What was done to many jobs at once: in the first shard of their queue.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::reply;
use crate::schedules::instant;
use crate::script::{NOTE_OPERATION, OPERATIONS};
use job_core::{BackendError, OperationEntry, OperationId, QueueName};
use redis::Value;

impl Inner {
    pub(crate) async fn note_operation(
        &self,
        queue: &QueueName,
        id: OperationId,
        text: &str,
    ) -> Result<(), BackendError> {
        let queue = self.queue(queue).await?;
        let tag = &queue.shards[0].tag;
        let mut call = NOTE_OPERATION.call(tag, &tag.operations());
        call.cmd.arg(id.to_string()).arg(text);
        self.link.run(call).await?;
        Ok(())
    }

    pub(crate) async fn operations(
        &self,
        queue: &QueueName,
        limit: u32,
    ) -> Result<Vec<OperationEntry>, BackendError> {
        let queue = self.queue(queue).await?;
        let tag = &queue.shards[0].tag;
        let mut call = OPERATIONS.call(tag, &tag.operations());
        call.cmd.arg(limit);
        let rows = reply::array(self.link.run(call).await?);
        rows.and_then(|rows| rows.into_iter().map(entry).collect()).ok_or_else(|| unreadable("operations"))
    }
}

fn entry(row: Value) -> Option<OperationEntry> {
    let [id, began, updated, text] = <[Value; 4]>::try_from(reply::array(row)?).ok()?;
    let id = reply::text(id)?.parse().ok()?;
    Some(OperationEntry {
        id,
        began: instant(&began)?,
        updated: instant(&updated)?,
        text: reply::text(text)?,
    })
}
