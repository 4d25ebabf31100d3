//! The outbox of a shard: what comes with a verdict and has to go to another place.

use crate::backend::Inner;
use crate::batches::Wait;
use crate::error::unreadable;
use crate::keys::{Part, Raw};
use crate::queue::Shard;
use crate::record::decode_whole;
use crate::reply;
use job_core::{BackendError, BatchId, NewJob};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What one look takes at most, about.
const PAGE: usize = 1_000;

/// The first byte of word for a batch of an end or a death; what follows is its id.
const BATCH: u8 = 2;

/// That of word for a batch of a job that waits for it.
const WAIT: u8 = 3;

/// A page of an outbox.
#[derive(Default)]
struct Page {
    /// For each batch, whose end or death: the id, and a letter.
    words: BTreeMap<BatchId, Vec<Vec<u8>>>,
    /// The name of each word, and who waits.
    waits: Vec<(Vec<u8>, Wait)>,
    jobs: Vec<NewJob>,
}

impl Inner {
    /// Brings word of ends to batches, and follow-ups to their queues that whoever settled did not. True if there is more: a
    /// look begins where the one before ended, so what cannot be brought keeps nothing else waiting.
    pub(crate) async fn empty_outbox(&self, shard: &Shard) -> Result<bool, BackendError> {
        let page = self.read_outbox(shard).await?;
        for (name, wait) in page.waits {
            if let Err(error) = self.bring_wait(shard, &name, &wait).await {
                tracing::warn!(%error, ?wait, "word for a batch waits in the outbox");
            }
        }
        for (batch, mut words) in page.words {
            // A death before an end: the other way round nobody would mourn it.
            words.sort_unstable_by_key(|word| word.last().copied());
            if let Err(error) = self.bring(shard, batch, &words).await {
                tracing::warn!(%error, %batch, "ends of its jobs wait in the outbox");
            }
        }
        for job in page.jobs {
            // The rest of maintenance does not wait for a queue that takes nothing.
            if let Err(error) = self.deliver(shard, &job).await {
                tracing::warn!(%error, job = %job.id, "a follow-up stays in the outbox");
            }
        }
        Ok(shard.outbox() != "0")
    }

    /// Brings word of what has ended in a shard: no runtime may work there, and then nobody else would.
    pub(crate) async fn tell_batches(&self, shard: &Shard) {
        if let Err(error) = self.empty_outbox(shard).await {
            tracing::debug!(%error, "ends of jobs wait in the outbox");
        }
    }

    async fn read_outbox(&self, shard: &Shard) -> Result<Page, BackendError> {
        let mut cmd = redis::cmd("HSCAN");
        cmd.arg(shard.tag.key(Part::Outbox)).arg(shard.outbox()).arg("COUNT").arg(PAGE);
        let answer = self.link.command("maintain", cmd).await?;
        let read = || {
            let mut items = reply::array(answer)?;
            let found = reply::pairs(items.pop()?)?;
            shard.outbox_from(reply::text(items.pop()?)?);
            found.into_iter().map(|(name, value)| Some((reply::bytes(name)?, reply::bytes(value)?))).collect()
        };
        let found: Vec<_> = Option::ok_or_else(read(), || unreadable("maintain"))?;
        let mut page = Page::default();
        for (name, value) in found {
            if let [BATCH, id @ ..] = &value[..] {
                if let Ok(id) = Uuid::from_slice(id) {
                    page.words.entry(BatchId::from_uuid(id)).or_default().push(name);
                }
                continue;
            }
            if let [WAIT, wait @ ..] = &value[..] {
                page.waits.extend(Wait::from_bytes(wait).map(|wait| (name, wait)));
                continue;
            }
            match decode_whole(&value) {
                Ok(job) => page.jobs.push(job),
                Err(_) => tracing::error!(id = ?name, "a follow-up in the outbox cannot be read"),
            }
        }
        Ok(page)
    }

    /// Tells batches of the jobs among these that wait for them. Word of that was stored with them, so it is no failure if this fails.
    pub(crate) async fn bring_waits(&self, shard: &Shard, jobs: &[&NewJob]) {
        for job in jobs {
            let Some(wait) = Wait::of(job) else { continue };
            let name = [job.id.as_uuid().as_bytes(), b"w".as_slice()].concat();
            if let Err(error) = self.bring_wait(shard, &name, &wait).await {
                tracing::debug!(%error, job = %job.id, "its batch does not know it yet");
            }
        }
    }

    async fn bring_wait(&self, shard: &Shard, name: &[u8], wait: &Wait) -> Result<(), BackendError> {
        self.wait_for_batch(shard, wait).await?;
        self.take_out(shard, &[name]).await
    }

    async fn bring(&self, shard: &Shard, batch: BatchId, words: &[Vec<u8>]) -> Result<(), BackendError> {
        self.count(batch, words).await?;
        self.take_out(shard, words).await
    }

    async fn take_out(&self, shard: &Shard, words: &[impl AsRef<[u8]>]) -> Result<(), BackendError> {
        let mut cmd = redis::cmd("HDEL");
        cmd.arg(shard.tag.key(Part::Outbox));
        for word in words {
            cmd.arg(Raw(word.as_ref()));
        }
        self.link.command("maintain", cmd).await?;
        Ok(())
    }
}
