//! Batches: who waits for which, and how far they have come.

use crate::backend::Inner;
use crate::enqueue::NEVER;
use crate::error::unreadable;
use crate::keys::{Raw, Tag, add_id};
use crate::queue::Shard;
use crate::record::ms;
use crate::reply;
use crate::script::{BATCH, Call, RUN_NOW};
use job_core::{BackendError, BatchEvent, BatchId, BatchRecord, JobId, NewJob, QueueName, When};
use redis::{Cmd, Value};
use uuid::Uuid;

/// Where a job is that waits: the number of its shard (2 bytes), its id (16), the name of its queue.
fn spot(shard: u32, place: &[u8]) -> Vec<u8> {
    let shard = u16::try_from(shard).unwrap_or(u16::MAX);
    [&shard.to_be_bytes(), place].concat()
}

fn read_spot(bytes: &[u8]) -> Option<(usize, JobId, QueueName)> {
    let (shard, rest) = bytes.split_first_chunk::<2>()?;
    let (id, queue) = rest.split_first_chunk::<16>()?;
    let queue = QueueName::new(std::str::from_utf8(queue).ok()?).ok()?;
    Some((usize::from(u16::from_be_bytes(*shard)), JobId::from_uuid(Uuid::from_bytes(*id)), queue))
}

/// That a stored job waits for a batch, as it stands in the outbox until the batch knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    batch: BatchId,
    event: BatchEvent,
    members: u32,
    /// Its id, and the name of its queue; whoever finds this in the outbox of a shard knows the shard.
    place: Vec<u8>,
}

impl Wait {
    pub(crate) fn of(job: &NewJob) -> Option<Self> {
        let When::Batch { batch, members, event } = job.when else { return None };
        let place = [job.id.as_uuid().as_bytes().as_slice(), job.queue.as_str().as_bytes()].concat();
        Some(Self { batch, event, members, place })
    }

    /// The event, how many members, the batch, and the place of the job.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let event = match self.event {
            BatchEvent::Complete => b'c',
            BatchEvent::Death => b'd',
        };
        [&[event], &self.members.to_be_bytes()[..], self.batch.as_uuid().as_bytes(), &self.place].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (event, rest) = bytes.split_first()?;
        let (members, rest) = rest.split_first_chunk()?;
        let (batch, place) = rest.split_first_chunk()?;
        let event = match event {
            b'c' => BatchEvent::Complete,
            b'd' => BatchEvent::Death,
            _ => return None,
        };
        let batch = BatchId::from_uuid(Uuid::from_bytes(*batch));
        Some(Self { batch, event, members: u32::from_be_bytes(*members), place: place.to_vec() })
    }
}

/// An answer of the script.
struct Standing {
    members: u32,
    ended: u32,
    deaths: u32,
    complete: Vec<u8>,
    death: Vec<u8>,
}

impl Standing {
    fn read(answer: Value) -> Option<Self> {
        let [members, ended, deaths, complete, death] = <[Value; 5]>::try_from(reply::array(answer)?).ok()?;
        let count = |v| u32::try_from(reply::count(v)?).ok();
        let (members, ended, deaths) = (count(&members)?, count(&ended)?, count(&deaths)?);
        Some(Self { members, ended, deaths, complete: reply::bytes(complete)?, death: reply::bytes(death)? })
    }
}

impl Inner {
    /// Tells a batch that a job, which is stored in this shard, waits for it.
    pub(crate) async fn wait_for_batch(&self, shard: &Shard, wait: &Wait) -> Result<(), BackendError> {
        let event = match wait.event {
            BatchEvent::Complete => "complete",
            BatchEvent::Death => "death",
        };
        let mut call = self.batch_call(wait.batch);
        call.cmd.arg("wait").arg(event).arg(wait.members).arg(Raw(&spot(shard.number, &wait.place)));
        self.advance(wait.batch, call).await
    }

    /// Counts ends and deaths of members: for each its id and a letter.
    pub(crate) async fn count(&self, batch: BatchId, words: &[Vec<u8>]) -> Result<(), BackendError> {
        let mut call = self.batch_call(batch);
        call.cmd.arg("count");
        for (id, letter) in words.iter().filter_map(|w| w.split_at_checked(16)) {
            call.cmd.arg(Raw(id)).arg(Raw(letter));
        }
        self.advance(batch, call).await
    }

    fn batch_call(&self, batch: BatchId) -> Call {
        let tag = Tag::of_batch(&self.options.prefix, batch);
        let mut call = BATCH.call(&tag, &[]);
        call.cmd.arg(ms(self.options.receipts));
        call
    }

    /// Makes jobs ready whose event has come. All of it may be repeated; a job that has been told is not told again.
    async fn advance(&self, batch: BatchId, call: Call) -> Result<(), BackendError> {
        // Else a failover could forget what was acknowledged, or what is taken out of an outbox next.
        let (answer, kept) = self.run_and_keep(call, "counted").await?;
        kept?;
        let standing = Standing::read(answer).ok_or_else(|| unreadable("batch"))?;
        let over = standing.members > 0 && standing.ended >= standing.members;
        let mut told = Vec::new();
        if standing.deaths > 0 && !standing.death.is_empty() {
            self.tell(&standing.death, true).await?;
            told.push("death");
        }
        if over && !standing.complete.is_empty() {
            self.tell(&standing.complete, true).await?;
            told.push("complete");
        }
        if over && standing.deaths == 0 && !standing.death.is_empty() {
            self.tell(&standing.death, false).await?;
            told.push("death");
        }
        if told.is_empty() {
            return Ok(());
        }
        let mut call = self.batch_call(batch);
        call.cmd.arg("done").arg(told);
        self.link.run(call).await?;
        Ok(())
    }

    /// Lets a job run that has waited, or drops it.
    async fn tell(&self, spot: &[u8], run: bool) -> Result<(), BackendError> {
        let Some((shard, id, queue)) = read_spot(spot) else { return Ok(()) };
        let queue = self.queue(&queue).await?;
        let Some(shard) = queue.shards.get(shard) else { return Ok(()) };
        if run {
            // Whoever heard that it was over at the same moment may have told it, and it may have run and wait to run again.
            self.run_now(&queue.name, shard, id, Some(NEVER)).await?;
        } else {
            self.cancel(shard, id).await?;
        }
        Ok(())
    }

    /// Makes a job ready that waits for its time, or only if it waits for `due`; false if it is not in this shard or does
    /// not wait.
    pub(crate) async fn run_now(
        &self,
        queue: &QueueName,
        shard: &Shard,
        id: JobId,
        due: Option<u64>,
    ) -> Result<bool, BackendError> {
        let add_args = |cmd: &mut Cmd| {
            cmd.arg(self.wake.channel()).arg(queue.as_str());
            add_id(cmd, id.as_uuid());
            cmd.arg(due.map(|ms| ms.to_string()).unwrap_or_default());
        };
        let answer = self.with_lanes(shard, &RUN_NOW, &[], add_args).await?;
        let ready = reply::bytes(answer).ok_or_else(|| unreadable("run now"))? == b"1";
        if ready {
            self.wake.bells.ring(queue);
        }
        Ok(ready)
    }

    pub(crate) async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        let tag = Tag::of_batch(&self.options.prefix, id);
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(tag.head()[0].as_str()).arg(&["members", "ended", "deaths", "complete", "death"]);
        let answer = self.link.command("batch", cmd).await?;
        let values = reply::array(answer).and_then(|items| <[Value; 5]>::try_from(items).ok());
        let [members, ended, deaths, complete, death] = values.ok_or_else(|| unreadable("batch"))?;
        let count = |value| reply::text(value).and_then(|text| text.parse::<u32>().ok());
        let Some(members) = count(members) else { return Ok(None) };
        let job = |value| read_spot(&reply::bytes(value)?).map(|(_, id, _)| id);
        let mut record = BatchRecord::new(id, members);
        (record.ended, record.deaths) = (count(ended).unwrap_or(0), count(deaths).unwrap_or(0));
        (record.on_complete, record.on_death) = (job(complete), job(death));
        Ok(Some(record))
    }
}
