//! The outbox of a shard: what comes with a verdict and has to go to another place.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::{Part, Raw};
use crate::queue::Shard;
use crate::record::decode_whole;
use crate::reply;
use job_core::{BackendError, BatchId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What one look takes at most, about.
const PAGE: usize = 1_000;

/// The first byte of word for a batch; what follows is its id.
const BATCH: u8 = 2;

impl Inner {
    /// Brings follow-ups to their queues that whoever settled did not, and word of ends to batches. True if there may be more.
    pub(crate) async fn empty_outbox(&self, shard: &Shard) -> Result<bool, BackendError> {
        let mut cmd = redis::cmd("HSCAN");
        cmd.arg(shard.tag.key(Part::Outbox)).arg(0).arg("COUNT").arg(PAGE);
        let answer = self.link.command("maintain", cmd).await?;
        let mut items = reply::array(answer).ok_or_else(|| unreadable("maintain"))?;
        let found = items.pop().and_then(reply::pairs).ok_or_else(|| unreadable("maintain"))?;
        let mut words: BTreeMap<BatchId, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in found {
            let (Some(name), Some(value)) = (reply::bytes(name), reply::bytes(value)) else {
                return Err(unreadable("maintain"));
            };
            if let [BATCH, id @ ..] = &value[..] {
                if let Ok(id) = Uuid::from_slice(id) {
                    words.entry(BatchId::from_uuid(id)).or_default().push(name);
                }
                continue;
            }
            match decode_whole(&value) {
                // The rest of maintenance does not wait for a queue that takes nothing.
                Ok(job) => {
                    if let Err(error) = self.deliver(shard, &job).await {
                        tracing::warn!(%error, job = %job.id, "a follow-up stays in the outbox");
                    }
                }
                Err(_) => tracing::error!(id = ?name, "a follow-up in the outbox cannot be read"),
            }
        }
        let more = !words.is_empty() && words.values().map(Vec::len).sum::<usize>() >= PAGE / 2;
        for (batch, words) in words {
            self.count(batch, &words).await?;
            let mut cmd = redis::cmd("HDEL");
            cmd.arg(shard.tag.key(Part::Outbox));
            for word in &words {
                cmd.arg(Raw(word));
            }
            self.link.command("maintain", cmd).await?;
        }
        Ok(more)
    }
}
