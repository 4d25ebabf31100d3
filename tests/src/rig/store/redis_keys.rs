//! What the keys of a run say, read with plain commands.

use crate::judge::Kept;
use job_core::{DeadReason, JobId, JobState};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, cmd};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The bytes of a job's id, and those of a handle, which begins with it.
type Bytes = Vec<u8>;

/// Everything under one prefix.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The jobs that are there.
    jobs: BTreeSet<Bytes>,
    /// The state of each job, as often as it is found in a place.
    places: Vec<(Bytes, JobState)>,
    /// What is written down about a job that is not new; its last word may be why it is dead.
    metas: BTreeMap<Bytes, String>,
    /// Whose errors and notes of handlers are kept, and who has a unique key.
    errors: BTreeSet<Bytes>,
    noted: BTreeSet<Bytes>,
    keyed: BTreeSet<Bytes>,
    /// The holder of each unique key.
    unique: Vec<Bytes>,
    /// Running jobs, leases that count, and leases that hold something.
    leases: i64,
    holding: i64,
    outbox: i64,
    /// Jobs of batches, and batches some of whose jobs have not ended.
    members: i64,
    open_batches: i64,
    /// Jobs that have a line, and those that wait there; lines with waiting jobs; slots of limits.
    lined: BTreeSet<Bytes>,
    in_lines: i64,
    open_lines: i64,
    slots: i64,
    /// Keys that have to go by themselves one day, and will not.
    lasting: i64,
    /// Keys that nobody knows.
    unknown: Vec<String>,
}

impl Contents {
    pub(super) async fn read(server: &mut MultiplexedConnection, prefix: &str) -> RedisResult<Self> {
        let mut contents = Self::default();
        for key in keys(server, &format!("{{{prefix}:*")).await? {
            let name = String::from_utf8_lossy(&key).into_owned();
            let suffix = name.split_once('}').map_or("", |(_, suffix)| suffix);
            if name.contains(":batch:") {
                contents.read_batch(server, &key).await?;
            } else if name.contains(":limit:") || name.contains(":limits}") {
                contents.read_limit(server, &key, suffix).await?;
            } else {
                contents.read_key(server, &key, suffix).await?;
            }
        }
        Ok(contents)
    }

    async fn read_key(
        &mut self,
        server: &mut MultiplexedConnection,
        key: &[u8],
        suffix: &str,
    ) -> RedisResult<()> {
        match suffix {
            "q" | "kinds" | "ls" | "s" | "op" | "ob" => {}
            "lk" => self.lined.extend(ask::<Vec<Bytes>>(server, cmd("HKEYS").arg(key)).await?),
            "lw" => self.in_lines += ask::<i64>(server, cmd("ZCARD").arg(key)).await?,
            "lo" => self.open_lines += ask::<i64>(server, cmd("ZCARD").arg(key)).await?,
            "j" => self.jobs.extend(ask::<Vec<Bytes>>(server, cmd("HKEYS").arg(key)).await?),
            "m" => self.metas.extend(ask::<BTreeMap<_, _>>(server, cmd("HGETALL").arg(key)).await?),
            "e" => self.errors.extend(ask::<Vec<Bytes>>(server, cmd("HKEYS").arg(key)).await?),
            "n" => self.noted.extend(ask::<Vec<Bytes>>(server, cmd("HKEYS").arg(key)).await?),
            "v" => self.keyed.extend(ask::<Vec<Bytes>>(server, cmd("HKEYS").arg(key)).await?),
            "u" => self.unique.extend(ask::<Vec<Bytes>>(server, cmd("HVALS").arg(key)).await?),
            "run" => {
                let ids: Vec<Bytes> = ask(server, cmd("HKEYS").arg(key)).await?;
                self.places.extend(ids.into_iter().map(|id| (id, JobState::Running)));
            }
            "x" | "xi" => self.leases += ask::<i64>(server, cmd("ZCARD").arg(key)).await?,
            "ws" => self.line(server, key, JobState::Scheduled).await?,
            "wr" => self.line(server, key, JobState::Retrying).await?,
            "c" => self.line(server, key, JobState::Completed).await?,
            "b" => self.members += ask::<i64>(server, cmd("HLEN").arg(key)).await?,
            "d" => self.line(server, key, JobState::Dead).await?,
            "o" => self.outbox += ask::<i64>(server, cmd("HLEN").arg(key)).await?,
            _ if suffix.starts_with("r:") => self.line(server, key, JobState::Ready).await?,
            _ if suffix.starts_with("l:") => {
                let held: Option<i64> = ask(server, cmd("HGET").arg(key).arg("n")).await?;
                if held == Some(0) {
                    self.will_go(server, key).await?;
                } else {
                    self.holding += 1;
                }
            }
            _ if suffix.starts_with("req:") || suffix.starts_with("k:") => self.will_go(server, key).await?,
            _ => self.unknown.push(suffix.to_owned()),
        }
        Ok(())
    }

    async fn read_batch(&mut self, server: &mut MultiplexedConnection, key: &[u8]) -> RedisResult<()> {
        let counts: [Option<u64>; 2] = ask(server, cmd("HMGET").arg(key).arg("members").arg("ended")).await?;
        self.open_batches += i64::from(counts[0] != counts[1]);
        self.will_go(server, key).await
    }

    /// Holders that have not given back what they had go with their time.
    async fn read_limit(
        &mut self,
        server: &mut MultiplexedConnection,
        key: &[u8],
        suffix: &str,
    ) -> RedisResult<()> {
        match suffix {
            "q" => {}
            "run" => self.slots += ask::<i64>(server, cmd("HLEN").arg(key)).await?,
            "x" => self.slots += ask::<i64>(server, cmd("ZCARD").arg(key)).await?,
            _ => self.unknown.push(suffix.to_owned()),
        }
        Ok(())
    }

    async fn line(
        &mut self,
        server: &mut MultiplexedConnection,
        key: &[u8],
        state: JobState,
    ) -> RedisResult<()> {
        let handles: Vec<Bytes> = ask(server, cmd("ZRANGE").arg(key).arg(0).arg(-1)).await?;
        self.places.extend(handles.into_iter().map(|handle| (id_of(handle), state)));
        Ok(())
    }

    async fn will_go(&mut self, server: &mut MultiplexedConnection, key: &[u8]) -> RedisResult<()> {
        // -1 is for a key that stays; one that has just gone has -2.
        self.lasting += i64::from(ask::<i64>(server, cmd("PTTL").arg(key)).await? == -1);
        Ok(())
    }

    /// Every job that is there. One that is in no place is called ready, and counts among what is left over.
    pub(super) fn jobs(&self) -> Vec<Kept> {
        let states: BTreeMap<&Bytes, JobState> = self.places.iter().map(|(id, state)| (id, *state)).collect();
        let kept = |id: &Bytes| {
            let state = states.get(id).copied().unwrap_or(JobState::Ready);
            let reason = self.metas.get(id).filter(|_| state == JobState::Dead);
            let reason = reason.and_then(|meta| DeadReason::from_word(meta.split(' ').nth(3)?));
            Kept { job: JobId::from_uuid(Uuid::from_slice(id).unwrap_or_default()), state, reason }
        };
        self.jobs.iter().map(kept).collect()
    }

    /// What must not be there when every job is over.
    pub(super) fn leftovers(&self) -> Vec<(String, i64)> {
        let mut dead: BTreeSet<&Bytes> = BTreeSet::new();
        let mut placed: BTreeSet<&Bytes> = BTreeSet::new();
        let (mut alive, mut twice, mut without) = (0, 0, 0);
        for (id, state) in &self.places {
            if matches!(state, JobState::Dead | JobState::Completed) {
                dead.insert(id);
            } else {
                alive += 1;
            }
            twice += i64::from(!placed.insert(id));
            without += i64::from(!self.jobs.contains(id));
        }
        let count = |ids: &mut dyn Iterator<Item = &Bytes>| {
            i64::try_from(ids.filter(|id| !dead.contains(id)).count()).unwrap_or(i64::MAX)
        };
        let mut left = vec![
            ("jobs in a place of the living".to_owned(), alive),
            ("jobs in two places".to_owned(), twice),
            ("jobs in no place".to_owned(), self.jobs.iter().map(|id| i64::from(!placed.contains(id))).sum()),
            ("places without a job".to_owned(), without),
            ("notes on jobs that have ended".to_owned(), count(&mut self.metas.keys())),
            ("errors of jobs that have ended".to_owned(), count(&mut self.errors.iter())),
            ("notes that handlers of ended jobs have made".to_owned(), count(&mut self.noted.iter())),
            ("names of unique keys of jobs that have ended".to_owned(), count(&mut self.keyed.iter())),
            ("unique keys of jobs that have ended".to_owned(), count(&mut self.unique.iter())),
            ("entries of leases".to_owned(), self.leases),
            ("leases that hold a job".to_owned(), self.holding),
            ("follow-ups on their way".to_owned(), self.outbox),
            ("jobs of batches".to_owned(), self.members),
            ("batches that are not over".to_owned(), self.open_batches),
            ("lines of jobs that have ended".to_owned(), count(&mut self.lined.iter())),
            ("jobs that wait in lines".to_owned(), self.in_lines),
            ("lines in which jobs wait".to_owned(), self.open_lines),
            ("receipts without an end".to_owned(), self.lasting),
        ];
        left.extend(self.unknown.iter().map(|suffix| (format!("keys {suffix}"), 1)));
        left
    }
}

async fn ask<T: FromRedisValue>(server: &mut MultiplexedConnection, cmd: &Cmd) -> RedisResult<T> {
    cmd.query_async(server).await
}

/// Every key that matches.
async fn keys(server: &mut MultiplexedConnection, pattern: &str) -> RedisResult<BTreeSet<Bytes>> {
    let mut found = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1_000);
        let (next, some): (u64, Vec<Bytes>) = ask(server, &scan).await?;
        found.extend(some);
        if next == 0 {
            return Ok(found);
        }
        cursor = next;
    }
}

fn id_of(mut handle: Bytes) -> Bytes {
    handle.truncate(16);
    handle
}
