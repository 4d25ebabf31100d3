//! Looks through a queue for what hands other than ours have left: jobs that nothing would find, entries without a job, keys of
//! another type. Page by page, beside everything else that goes on.

use crate::backend::{Inner, RedisBackend};
use crate::error::{refused, unreadable};
use crate::keys::{Part, Raw};
use crate::lines::line_in;
use crate::queue::{Queue, Shard};
use crate::record::decode;
use crate::reply;
use crate::script::{FSCK_ENTRIES, FSCK_JOBS, FSCK_LEASES};
use job_core::{BackendError, ErrorKind, Kind, LeaseId, QueueName};
use redis::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Entries that one call looks at: a server does nothing else meanwhile.
const PAGE: usize = 100;

/// What [`RedisBackend::fsck`] found, and mended if it was told to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FsckReport {
    /// Jobs that were looked at.
    pub jobs: u64,
    /// Jobs that were in no index: nothing would have found them. Mended, they are ready.
    pub lost: u64,
    /// Jobs that were in two indexes. Mended, they are in one.
    pub twice: u64,
    /// Entries of an index without a job. Mended, they are gone.
    pub stray: u64,
    /// Leases that had ended but were still listed, or that nothing would have ended.
    pub leases: u64,
    /// What lines knew of their jobs that was not so. Mended, it is.
    pub lines: u64,
    /// Rows about what was done to many jobs that no list showed, or of which nothing but their place in it was left. Mended, they are
    /// shown, or gone.
    pub operations: u64,
    /// Keys of another type than ours. Mended, they have been renamed to these names, out of the way.
    pub quarantined: Vec<String>,
}

impl FsckReport {
    /// True if nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self { jobs: self.jobs, ..Self::default() }
    }
}

/// The number of a stored job's kind, and its name.
fn kind_number(job: Vec<u8>) -> Option<(u16, Kind)> {
    let number = u16::from_be_bytes(job.get(13..15)?.try_into().ok()?);
    Some((number, decode(job, &[]).ok()?.kind))
}

impl RedisBackend {
    /// Looks through all of a queue, and mends what it finds if `repair` is true. Safe while the queue is being used; it
    /// works in pages that block nobody for long. A server that nobody but this library writes to never needs it.
    ///
    /// # Errors
    /// If the server fails; what was mended until then stays mended.
    pub async fn fsck(&self, queue: &QueueName, repair: bool) -> Result<FsckReport, BackendError> {
        let inner = self.inner();
        let mut report = FsckReport::default();
        // Before anything else, for every script refuses a queue with a key of another type.
        for shard in &Queue::new(&inner.options.prefix, queue, inner.options.shards).shards {
            inner.quarantine(shard, repair, &mut report).await?;
        }
        if !repair && !report.quarantined.is_empty() {
            return Ok(report);
        }
        let queue = inner.queue_unread(queue).await?;
        for shard in &queue.shards {
            if repair {
                inner.number_kinds_again(shard).await?;
            }
            inner.learn_kinds(shard).await?;
            inner.fsck_shard(shard, repair, &mut report).await?;
        }
        inner.fsck_operations(&queue.shards[0], repair, &mut report).await?;
        Ok(report)
    }
}

impl Inner {
    /// A page of jobs, for maintenance; answers how many nothing would have found.
    pub(crate) async fn audit(&self, queue: &Queue) -> Result<u64, BackendError> {
        let mut report = FsckReport::default();
        for shard in &queue.shards {
            let cursor = self.audit_page(shard, shard.audited(), true, &mut report).await?;
            shard.audit_from(cursor);
        }
        Ok(report.lost + report.twice + report.leases + report.lines)
    }

    async fn fsck_shard(
        &self,
        shard: &Shard,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        self.fsck_leases(shard, repair, report).await?;
        let mut cursor = "0".to_owned();
        loop {
            cursor = self.audit_page(shard, cursor, repair, report).await?;
            if cursor == "0" {
                break;
            }
        }
        let head = |part| shard.tag.key(part).to_owned();
        let mut indexes: Vec<_> = shard.lanes().into_iter().map(|lane| (lane, "zset")).collect();
        indexes.extend(
            [Part::Scheduled, Part::Retrying, Part::Completed, Part::Dead].map(|p| (head(p), "zset")),
        );
        indexes.extend(
            [Part::Running, Part::Metas, Part::Errors, Part::KeyOf, Part::Notes, Part::Members, Part::LineOf]
                .map(|p| (head(p), "hash")),
        );
        indexes.push((head(Part::Unique), "keys"));
        for (key, what) in indexes {
            let mut cursor = "0".to_owned();
            loop {
                let command = if what == "zset" { "ZSCAN" } else { "HSCAN" };
                let (next, entries) = self.scan(command, &key, &cursor).await?;
                if !entries.is_empty() {
                    let mut call = FSCK_ENTRIES.call(&shard.tag, std::slice::from_ref(&key));
                    call.cmd.arg(u8::from(repair)).arg(what);
                    for (entry, _) in &entries {
                        call.cmd.arg(Raw(entry));
                    }
                    let stray = self.link.run(call).await?;
                    report.stray += reply::count(&stray).ok_or_else(|| unreadable("fsck"))?;
                }
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        self.fsck_lines(shard, repair, report).await
    }

    pub(crate) async fn scan(
        &self,
        command: &str,
        key: &str,
        cursor: &str,
    ) -> Result<(String, Vec<(Vec<u8>, Vec<u8>)>), BackendError> {
        let mut cmd = redis::cmd(command);
        cmd.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        let answer = self.link.command("fsck", cmd).await?;
        let read = || {
            let [cursor, entries] = <[Value; 2]>::try_from(reply::array(answer)?).ok()?;
            let entries = reply::pairs(entries)?.into_iter();
            // The score of a sorted set may come as a number, which nobody asks for here.
            let entries = entries.map(|(e, v)| Some((reply::bytes(e)?, reply::bytes(v).unwrap_or_default())));
            Some((reply::text(cursor)?, entries.collect::<Option<Vec<_>>>()?))
        };
        read().ok_or_else(|| unreadable("fsck"))
    }

    /// Looks at a page of the jobs; answers where the next begins, "0" at the end.
    async fn audit_page(
        &self,
        shard: &Shard,
        cursor: String,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<String, BackendError> {
        let (next, jobs) = self.scan("HSCAN", shard.tag.key(Part::Jobs), &cursor).await?;
        if jobs.is_empty() {
            return Ok(next);
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(shard.tag.key(Part::Running));
        for (id, _) in &jobs {
            cmd.arg(Raw(id));
        }
        let running =
            reply::array(self.link.command("fsck", cmd).await?).ok_or_else(|| unreadable("fsck"))?;
        let leases: Vec<Vec<u8>> = running.into_iter().map(|v| reply::bytes(v).unwrap_or_default()).collect();
        for _ in 0..4 {
            let mut keys = shard.lanes();
            let kinds = keys.len();
            let places: Vec<usize> = leases
                .iter()
                .map(|lease| match Uuid::from_slice(lease) {
                    Ok(lease) => {
                        keys.push(shard.tag.lease(LeaseId::from_uuid(lease)));
                        shard.tag.head().len() + keys.len()
                    }
                    Err(_) => 0,
                })
                .collect();
            let mut call = FSCK_JOBS.call(&shard.tag, &keys);
            call.cmd.arg(u8::from(repair)).arg(kinds);
            for (((id, job), lease), place) in jobs.iter().zip(&leases).zip(places) {
                let line = decode(job.clone(), &[]).map(|j| line_in(&j.kind, &j.headers)).unwrap_or_default();
                call.cmd.arg(Raw(id)).arg(Raw(lease)).arg(place).arg(Raw(&line));
            }
            let answer = self.link.run(call).await?;
            if let Value::Int(_) = answer {
                self.learn_kinds(shard).await?;
                continue;
            }
            let counts: Option<Vec<u64>> =
                reply::array(answer).and_then(|items| items.iter().map(reply::count).collect());
            let Some([looked, lost, twice, endless, strange]) = counts.as_deref() else {
                return Err(unreadable("fsck"));
            };
            report.jobs += looked;
            report.lost += lost;
            report.twice += twice;
            report.leases += endless;
            report.lines += strange;
            return Ok(next);
        }
        Err(refused("fsck", ErrorKind::Permanent, "the numbers of the queue's kinds are lost"))
    }

    async fn fsck_leases(
        &self,
        shard: &Shard,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        for part in [Part::Leases, Part::Claims] {
            let mut cursor = "0".to_owned();
            loop {
                let (next, leases) = self.scan("ZSCAN", shard.tag.key(part), &cursor).await?;
                let ids: Vec<_> = leases.iter().filter_map(|(id, _)| Uuid::from_slice(id).ok()).collect();
                let keys: Vec<_> = ids.iter().map(|id| shard.tag.lease(LeaseId::from_uuid(*id))).collect();
                let mut call = FSCK_LEASES.call(&shard.tag, &keys);
                call.cmd.arg(u8::from(repair));
                for id in &ids {
                    call.cmd.arg(Raw(id.as_bytes()));
                }
                let stray = self.link.run(call).await?;
                report.leases += reply::count(&stray).ok_or_else(|| unreadable("fsck"))?;
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the numbers of the kinds from the jobs, if they are lost.
    async fn number_kinds_again(&self, shard: &Shard) -> Result<(), BackendError> {
        let mut count = redis::cmd("HLEN");
        count.arg(shard.tag.key(Part::Kinds));
        if reply::int(&self.link.command("fsck", count).await?) != Some(0) {
            return Ok(());
        }
        let (mut kinds, mut cursor) = (BTreeMap::new(), "0".to_owned());
        loop {
            let (next, jobs) = self.scan("HSCAN", shard.tag.key(Part::Jobs), &cursor).await?;
            kinds.extend(jobs.into_iter().filter_map(|(_, job)| kind_number(job)));
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let Some((&last, _)) = kinds.last_key_value() else { return Ok(()) };
        let mut cmd = redis::cmd("HSET");
        cmd.arg(shard.tag.key(Part::Kinds));
        for number in 1..=last {
            // A kind without a job cannot be told, but its number must not be given again.
            let name = kinds.get(&number).map_or_else(|| format!("lost.{number}"), ToString::to_string);
            cmd.arg(name).arg(number);
        }
        self.link.command("fsck", cmd).await.map(drop)
    }

    /// Renames keys of another type than ours.
    async fn quarantine(
        &self,
        shard: &Shard,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        let mut keys: Vec<(String, &str)> = shard.tag.typed().collect();
        // The kinds may have to be renamed themselves.
        if self.is_type(shard.tag.key(Part::Kinds), "hash").await? {
            self.learn_kinds(shard).await?;
            keys.extend(shard.lanes().into_iter().map(|lane| (lane, "zset")));
        }
        if self.is_type(shard.tag.key(Part::Leases), "zset").await? {
            let (_, leases) = self.scan("ZSCAN", shard.tag.key(Part::Leases), "0").await?;
            let ids = leases.iter().filter_map(|(id, _)| Uuid::from_slice(id).ok());
            keys.extend(ids.map(|id| (shard.tag.lease(LeaseId::from_uuid(id)), "hash")));
        }
        for (key, want) in keys {
            if self.is_type(&key, want).await? {
                continue;
            }
            let name = format!(
                "{}quarantine:{}:{}",
                shard.tag.text(),
                Uuid::now_v7().simple(),
                &key[shard.tag.text().len()..]
            );
            if repair {
                let mut cmd = redis::cmd("RENAMENX");
                cmd.arg(&key).arg(&name);
                self.link.command("fsck", cmd).await?;
                tracing::error!(key, now = name, "a key of another type is out of the way now");
            }
            report.quarantined.push(if repair { name } else { key });
        }
        Ok(())
    }

    async fn is_type(&self, key: &str, want: &str) -> Result<bool, BackendError> {
        let mut cmd = redis::cmd("TYPE");
        cmd.arg(key);
        let found = reply::text(self.link.command("fsck", cmd).await?).ok_or_else(|| unreadable("fsck"))?;
        Ok(found == "none" || found == want)
    }
}
