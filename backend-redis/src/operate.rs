//! Looking and administration.

use crate::backend::{Inner, RedisBackend};
use crate::claim::{Meta, job_id};
use crate::error::{refused, unreadable};
use crate::gauges::add_kinds;
use crate::keys::{Part, Raw, add_id};
use crate::notes::kept_notes;
use crate::queue::{Queue, Shard};
use crate::record::{decode, instant};
use crate::reply;
use crate::script::{CANCEL, DISCARD, GET, PAUSE, PAUSE_KIND, REPLAY, STATS};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use job_core::{
    AlertReport, Amendment, AttemptError, BackendError, BatchId, BatchRecord, Cancelled, DeadReason,
    ErrorKind, Gauges, JobId, JobRecord, JobState, Kind, LimitName, LimitRecord, LimitRule, LineRecord,
    ListFilter, Operate, OperationEntry, OperationNote, Page, QueueName, QueueStats, RaisedAlert,
    ScheduleChange, ScheduleName, WorkerId,
};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl Operate for RedisBackend {
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        let queues = self.inner().all_queues().await?;
        let everywhere =
            queues.iter().flat_map(|q| q.shards.iter().map(|s| self.inner().get(&q.name, s, id)));
        Ok(try_join_all(everywhere).await?.into_iter().flatten().next())
    }

    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError> {
        let queue = self.inner().queue(&filter.queue).await?;
        self.inner().list(&queue, filter).await
    }

    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let inner = self.inner();
        let mut answers = vec![false; ids.len()];
        for queue in inner.all_queues().await? {
            for shard in &queue.shards {
                let add_args = |cmd: &mut Cmd| {
                    cmd.arg(inner.wake.channel()).arg(queue.name.as_str());
                    add_ids(cmd, ids);
                };
                let letters = inner.with_lanes(shard, &REPLAY, &[], add_args).await?;
                either(&mut answers, letters).ok_or_else(|| unreadable("replay"))?;
            }
            inner.wake.bells.ring(&queue.name);
        }
        Ok(answers)
    }

    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        for queue in self.inner().all_queues().await? {
            for shard in &queue.shards {
                if self.inner().amend(shard, id, amendment).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn run_now(&self, id: JobId) -> Result<bool, BackendError> {
        for queue in self.inner().all_queues().await? {
            for shard in &queue.shards {
                if self.inner().run_now(&queue.name, shard, id, None).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        self.inner().batch(id).await
    }

    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let inner = self.inner();
        let mut answers = vec![false; ids.len()];
        for queue in inner.all_queues().await? {
            for shard in &queue.shards {
                let mut call = DISCARD.call(&shard.tag, &[]);
                add_ids(&mut call.cmd, ids);
                either(&mut answers, inner.link.run(call).await?).ok_or_else(|| unreadable("discard"))?;
                inner.tell_batches(shard).await;
            }
        }
        Ok(answers)
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError> {
        for queue in self.inner().all_queues().await? {
            for shard in &queue.shards {
                let cancelled = self.inner().cancel(shard, id).await?;
                if cancelled == Cancelled::Now {
                    self.inner().tell_batches(shard).await;
                }
                if cancelled != Cancelled::NotFound {
                    return Ok(cancelled);
                }
            }
        }
        Ok(Cancelled::NotFound)
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner().set_paused(queue, true).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner().set_paused(queue, false).await?;
        self.inner().wake.bells.ring(queue);
        Ok(())
    }

    async fn set_kind_paused(
        &self,
        queue: &QueueName,
        kind: &Kind,
        paused: bool,
    ) -> Result<(), BackendError> {
        let inner = self.inner();
        for shard in &inner.queue(queue).await?.shards {
            let mut call = PAUSE_KIND.call(&shard.tag, &[]);
            call.cmd.arg(u8::from(paused)).arg(kind.as_str()).arg(inner.wake.channel()).arg(queue.as_str());
            inner.link.run(call).await?;
        }
        if !paused {
            inner.wake.bells.ring(queue);
        }
        Ok(())
    }

    async fn set_limit(&self, limit: &LimitName, rule: Option<LimitRule>) -> Result<(), BackendError> {
        self.inner().set_limit(limit, rule).await
    }
    async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError> {
        self.inner().open_limit(limit).await
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        self.inner().limits().await
    }
    async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        self.inner().set_weight(queue, kind, key, weight).await
    }
    async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        self.inner().lines(queue, after, limit).await
    }
    async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        self.inner().change_schedule(queue, name, change).await
    }

    async fn note_operation(&self, queue: &QueueName, note: &OperationNote) -> Result<(), BackendError> {
        self.inner().note_operation(queue, note).await
    }
    async fn operations(&self, queue: &QueueName, limit: u32) -> Result<Vec<OperationEntry>, BackendError> {
        self.inner().operations(queue, limit).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BackendError> {
        let queue = self.inner().queue(queue).await?;
        let mut stats = QueueStats::default();
        for shard in &queue.shards {
            let answer = self.inner().stats(shard).await?;
            stats.ready += answer.ready;
            stats.running += answer.running;
            stats.scheduled += answer.scheduled;
            stats.retrying += answer.retrying;
            stats.completed += answer.completed;
            stats.dead += answer.dead;
            stats.paused |= answer.paused;
            stats.paused_kinds.extend(answer.paused_kinds);
            stats.oldest_ready = stats.oldest_ready.max(answer.oldest_ready);
        }
        stats.paused_kinds.sort_unstable();
        stats.paused_kinds.dedup();
        Ok(stats)
    }

    async fn gauges(&self, queue: &QueueName, _: u32) -> Result<Gauges, BackendError> {
        let queue = self.inner().queue(queue).await?;
        let mut gauges = Gauges::default();
        for shard in &queue.shards {
            self.inner().add_gauges(shard, &mut gauges).await?;
        }
        gauges.schedules = self.inner().schedules(&queue.name).await?;
        Ok(gauges)
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        let inner = self.inner();
        let mut names = Vec::new();
        for queue in inner.all_queues().await? {
            for shard in &queue.shards {
                let mut cmd = redis::cmd("EXISTS");
                cmd.arg(shard.tag.key(Part::Kinds)).arg(shard.tag.schedules());
                if reply::int(&inner.link.command("queues", cmd).await?) != Some(0) {
                    names.push(queue.name.clone());
                    break;
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        self.inner().report_alerts(report).await
    }

    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        self.inner().alerts().await
    }
}

impl Inner {
    /// Every queue that any process has used.
    pub(crate) async fn all_queues(&self) -> Result<Vec<Arc<Queue>>, BackendError> {
        let mut cmd = redis::cmd("SMEMBERS");
        cmd.arg(self.queues_key());
        let names = match self.link.command("queues", cmd).await? {
            Value::Set(names) => names,
            other => reply::array(other).ok_or_else(|| unreadable("queues"))?,
        };
        let names: Vec<_> = names.into_iter().filter_map(|n| QueueName::new(reply::text(n)?).ok()).collect();
        try_join_all(names.iter().map(|name| self.queue(name))).await
    }

    async fn get(
        &self,
        queue: &QueueName,
        shard: &Shard,
        id: JobId,
    ) -> Result<Option<JobRecord>, BackendError> {
        let mut call = GET.call(&shard.tag, &[]);
        add_id(&mut call.cmd, id.as_uuid());
        let rows = reply::array(self.link.run(call).await?).ok_or_else(|| unreadable("get"))?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        record(row, queue).map(|(record, _)| Some(record)).ok_or_else(|| unreadable("get"))
    }

    pub(crate) async fn cancel(&self, shard: &Shard, id: JobId) -> Result<Cancelled, BackendError> {
        let mut lease: Option<Vec<u8>> = None;
        // A job may change its lease while it is asked to stop.
        for _ in 0..16 {
            let lanes = shard.lanes();
            let kinds = lanes.len();
            let mut keys = lanes;
            if let Some(lease) = lease.as_ref().and_then(|l| uuid::Uuid::from_slice(l).ok()) {
                keys.push(shard.tag.lease(job_core::LeaseId::from_uuid(lease)));
            }
            let mut call = CANCEL.call(&shard.tag, &keys);
            add_id(&mut call.cmd, id.as_uuid());
            call.cmd.arg(kinds);
            if let Some(lease) = &lease {
                call.cmd.arg(Raw(lease));
            }
            match self.link.run(call).await? {
                Value::Int(0) => return Ok(Cancelled::Now),
                Value::Int(1) => return Ok(Cancelled::Asked),
                Value::Int(2) => return Ok(Cancelled::NotFound),
                Value::Int(_) => self.learn_kinds(shard).await?,
                other => lease = Some(reply::bytes(other).ok_or_else(|| unreadable("cancel"))?),
            }
        }
        Err(refused("cancel", ErrorKind::Transient, "the job changes hands too quickly: try again"))
    }

    async fn set_paused(&self, name: &QueueName, paused: bool) -> Result<(), BackendError> {
        let queue = self.queue(name).await?;
        for shard in &queue.shards {
            let mut call = PAUSE.call(&shard.tag, &[]);
            call.cmd.arg(u8::from(paused)).arg(self.wake.channel()).arg(name.as_str());
            self.link.run(call).await?;
        }
        Ok(())
    }

    async fn stats(&self, shard: &Shard) -> Result<QueueStats, BackendError> {
        self.learn_kinds(shard).await?;
        let answer = self.link.run(STATS.call(&shard.tag, &shard.lanes())).await?;
        let mut items = reply::array(answer).ok_or_else(|| unreadable("stats"))?;
        let mut kinds = Vec::new();
        items.pop().and_then(|names| add_kinds(&mut kinds, names)).ok_or_else(|| unreadable("stats"))?;
        let counts: Option<Vec<i64>> = items.iter().map(reply::int).collect();
        let Some([ready, running, scheduled, retrying, completed, dead, paused, waits]) = counts.as_deref()
        else {
            return Err(unreadable("stats"));
        };
        let count = |n: &i64| u64::try_from(*n).unwrap_or(0);
        let mut stats = QueueStats::default();
        stats.ready = count(ready);
        stats.running = count(running);
        stats.scheduled = count(scheduled);
        stats.retrying = count(retrying);
        stats.completed = count(completed);
        stats.dead = count(dead);
        stats.paused = *paused == 1;
        stats.paused_kinds = kinds;
        stats.oldest_ready = u64::try_from(*waits).ok().map(Duration::from_millis);
        Ok(stats)
    }
}

fn add_ids(cmd: &mut Cmd, ids: &[JobId]) {
    for id in ids {
        add_id(cmd, id.as_uuid());
    }
}

/// Notes the letters of one shard: a job is in one of them at most.
fn either(answers: &mut [bool], letters: Value) -> Option<()> {
    for (answer, letter) in answers.iter_mut().zip(reply::bytes(letters)?) {
        *answer |= letter == b'1';
    }
    Some(())
}

/// A row of `get.lua`: the job, and its score in the set that it was found in.
pub(crate) fn record(row: Value, queue: &QueueName) -> Option<(JobRecord, i64)> {
    let [id, state, score, job, meta, errors, notes] = <[Value; 7]>::try_from(reply::array(row)?).ok()?;
    let state = JobState::from_word(&reply::text(state)?)?;
    let score = reply::int(&score)?;
    let stored = decode(reply::bytes(job)?, &[]).ok()?;
    let meta = Meta::read(Some(&meta));
    let running = u32::from(state == JobState::Running);
    let waits = matches!(state, JobState::Scheduled | JobState::Retrying);
    let dead = state == JobState::Dead;
    let record = JobRecord {
        id: job_id(id)?,
        kind: stored.kind,
        queue: queue.clone(),
        state,
        priority: stored.priority,
        attempt: meta.charged.saturating_add(running),
        max_attempts: stored.max_attempts,
        claims: meta.claims + u64::from(running),
        crashes: meta.crashes,
        payload: stored.payload,
        headers: stored.headers,
        enqueued_at: stored.enqueued_at,
        run_at: waits.then(|| instant(score)),
        completed_at: (state == JobState::Completed)
            .then(|| instant(meta.reason.parse().unwrap_or_default())),
        died_at: dead.then(|| instant(score)),
        dead_reason: if dead { DeadReason::from_word(&meta.reason) } else { None },
        errors: kept_errors(&Bytes::from(reply::bytes(errors)?)),
        notes: kept_notes(Bytes::from(reply::bytes(notes)?)),
    };
    Some((record, score))
}

/// Attempt (4 bytes), time (8), worker (16), length (4), text, one failure after the other; as far as they can be read.
fn kept_errors(mut bytes: &[u8]) -> Vec<AttemptError> {
    let mut errors = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<32>() {
        let [a, b, c, d, rest_of_head @ .., e, f, g, h] = *head;
        let (at, worker) = rest_of_head.split_at(8);
        let (Ok(at), Ok(worker)) = (at.try_into(), uuid::Uuid::from_slice(worker)) else { break };
        let length = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        let Some((text, rest)) = rest.split_at_checked(length) else { break };
        errors.push(AttemptError {
            attempt: u32::from_be_bytes([a, b, c, d]),
            at: instant(i64::from_be_bytes(at)),
            worker: Some(WorkerId::from_uuid(worker)),
            error: String::from_utf8_lossy(text).into_owned(),
        });
        bytes = rest;
    }
    errors
}
