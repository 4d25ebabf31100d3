//! What was done to many jobs at once: in the first shard of their queue.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::fsck::FsckReport;
use crate::keys::Raw;
use crate::queue::Shard;
use crate::record::ms;
use crate::reply;
use crate::schedules::instant;
use crate::script::{FSCK_OPERATIONS, NOTE_OPERATION, OPERATIONS};
use job_core::{BackendError, OperationEntry, OperationNote, QueueName};
use redis::Value;

impl Inner {
    pub(crate) async fn note_operation(
        &self,
        queue: &QueueName,
        note: &OperationNote,
    ) -> Result<(), BackendError> {
        let queue = self.queue(queue).await?;
        let tag = &queue.shards[0].tag;
        let mut call = NOTE_OPERATION.call(tag, &tag.operations());
        let OperationNote { id, number, kept, text } = note;
        call.cmd.arg(id.to_string()).arg(number).arg(ms(*kept)).arg(text);
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

    /// Looks for rows that are half there, page by page.
    pub(crate) async fn fsck_operations(
        &self,
        shard: &Shard,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        let keys = shard.tag.operations();
        for (key, command, what) in [(&keys[0], "HSCAN", "rows"), (&keys[1], "ZSCAN", "began")] {
            let mut cursor = "0".to_owned();
            loop {
                let (next, found) = self.scan(command, key, &cursor).await?;
                let mut call = FSCK_OPERATIONS.call(&shard.tag, &keys);
                call.cmd.arg(u8::from(repair)).arg(what);
                for (id, _) in &found {
                    call.cmd.arg(Raw(id));
                }
                let wrong = self.link.run(call).await?;
                report.operations += reply::count(&wrong).ok_or_else(|| unreadable("fsck"))?;
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn entry(row: Value) -> Option<OperationEntry> {
    let [id, began, updated, number, text] = <[Value; 5]>::try_from(reply::array(row)?).ok()?;
    let id = reply::text(id)?.parse().ok()?;
    Some(OperationEntry {
        id,
        number: reply::text(number)?.parse().ok()?,
        began: instant(&began)?,
        updated: instant(&updated)?,
        text: reply::text(text)?,
    })
}
