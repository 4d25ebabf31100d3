//! Looking and administration.

use crate::alerts::{Report, alerts, report_alerts};
use crate::backend::PostgresBackend;
use crate::batches::{batch, run_now};
use crate::call::Reply;
use crate::claim::{headers, max_attempts};
use crate::error::refused;
use crate::notes::{Amend, amend, notes};
use crate::schema::Statements;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{
    AlertReport, Amendment, AttemptError, BackendError, BatchId, BatchRecord, Cancelled, Cursor, DeadReason,
    ErrorKind, Gauges, JobId, JobRecord, JobState, Kind, KindGauge, LimitName, LimitRecord, LimitRule,
    LineRecord, ListFilter, Operate, OperationEntry, OperationNote, Page, Priority, QueueName, QueueStats,
    RaisedAlert, ScheduleChange, ScheduleName,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::time::Duration;
use uuid::Uuid;

#[async_trait]
impl Operate for PostgresBackend {
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        self.calls().run("get", id.as_uuid(), get).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError> {
        let after =
            match &filter.after {
                Some(cursor) => Some(cursor.0.parse::<Uuid>().map_err(|_| {
                    refused("list", ErrorKind::Rejected, "the cursor is not one of this store")
                })?),
                None => None,
            };
        let limit = filter.limit.max(1);
        let args = List {
            queue: filter.queue.as_str().to_owned(),
            state: filter.state.as_str(),
            kind: filter.kind.as_ref().map(|k| k.as_str().to_owned()),
            after,
            limit: i64::from(limit) + 1,
        };
        let mut jobs = self.calls().run("list", args, list).await?;
        let more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next = jobs.last().filter(|_| more).map(|j| Cursor(j.id.to_string()));
        Ok(Page { jobs, next })
    }

    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let ids: Vec<Uuid> = ids.iter().map(|i| i.as_uuid()).collect();
        self.calls().run("replay", ids, replay).await
    }

    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        self.calls().run("amend", Amend::new(id.as_uuid(), amendment), amend).await
    }

    async fn run_now(&self, id: JobId) -> Result<bool, BackendError> {
        let queue = self.calls().run("run now", id.as_uuid(), run_now).await?;
        self.wake_all(queue.as_slice());
        Ok(queue.is_some())
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        self.calls().run("batch", id.as_uuid(), batch).await
    }

    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let ids: Vec<Uuid> = ids.iter().map(|i| i.as_uuid()).collect();
        self.calls().run("discard", ids, discard).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError> {
        Ok(match self.calls().run("cancel", id.as_uuid(), cancel).await? {
            0 => Cancelled::Now,
            1 => Cancelled::Asked,
            _ => Cancelled::NotFound,
        })
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.calls().run("pause", (queue.as_str().to_owned(), true), set_paused).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.calls().run("resume", (queue.as_str().to_owned(), false), set_paused).await?;
        self.ring(queue);
        Ok(())
    }

    async fn set_kind_paused(
        &self,
        queue: &QueueName,
        kind: &Kind,
        paused: bool,
    ) -> Result<(), BackendError> {
        let args = (queue.as_str().to_owned(), kind.as_str().to_owned(), paused);
        self.calls().run(if paused { "pause" } else { "resume" }, args, set_kind_paused).await?;
        if !paused {
            self.ring(queue);
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
        self.calls().run("stats", queue.as_str().to_owned(), stats).await
    }

    async fn gauges(&self, queue: &QueueName, count_to: u32) -> Result<Gauges, BackendError> {
        let count_to = i32::try_from(count_to).unwrap_or(i32::MAX);
        let mut gauges = self.calls().run("gauges", (queue.as_str().to_owned(), count_to), gauges).await?;
        gauges.schedules = self.inner().schedules(queue).await?;
        Ok(gauges)
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        let names = self.calls().run("queues", (), queues).await?;
        Ok(names.iter().filter_map(|n| QueueName::new(n).ok()).collect())
    }

    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        self.calls().run("report alerts", Report::new(report), report_alerts).await
    }

    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        let reports = self.calls().run("alerts", (), alerts).await?;
        Ok(reports.iter().flat_map(|json| AlertReport::read(json)).collect())
    }
}

struct List {
    queue: String,
    state: &'static str,
    kind: Option<String>,
    after: Option<Uuid>,
    limit: i64,
}

fn get<'c>(
    id: &'c Uuid,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Option<JobRecord>> {
    Box::pin(async move {
        let row = sqlx::query(statements.get.clone()).bind(id).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { return Ok(None) };
        let notes = notes(id, statements, connection).await?.notes;
        Ok(Some(JobRecord { notes, ..record(&row)? }))
    })
}

fn list<'c>(
    args: &'c List,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<JobRecord>> {
    Box::pin(async move {
        let rows = sqlx::query(statements.list.clone())
            .bind(&args.queue)
            .bind(args.state)
            .bind(&args.kind)
            .bind(args.after)
            .bind(args.limit)
            .fetch_all(connection)
            .await?;
        rows.iter().map(record).collect()
    })
}

fn replay<'c>(
    ids: &'c Vec<Uuid>,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<bool>> {
    Box::pin(sqlx::query_scalar(statements.replay.clone()).bind(ids).fetch_one(connection))
}

fn discard<'c>(
    ids: &'c Vec<Uuid>,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<bool>> {
    Box::pin(sqlx::query_scalar(statements.discard.clone()).bind(ids).fetch_one(connection))
}

fn cancel<'c>(id: &'c Uuid, statements: &'c Statements, connection: &'c mut PgConnection) -> Reply<'c, i32> {
    Box::pin(sqlx::query_scalar(statements.cancel.clone()).bind(id).fetch_one(connection))
}

fn set_paused<'c>(
    args: &'c (String, bool),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.set_paused.clone()).bind(&args.0).bind(args.1).execute(connection).await?;
        Ok(())
    })
}

fn set_kind_paused<'c>(
    args: &'c (String, String, bool),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        let query = sqlx::query(statements.set_kind_paused.clone()).bind(&args.0).bind(&args.1).bind(args.2);
        query.execute(connection).await?;
        Ok(())
    })
}

/// The kinds of a column, by name; none of a queue that nobody used.
fn paused_kinds(row: &PgRow) -> Result<Vec<Kind>, sqlx::Error> {
    let names: Vec<String> = row.try_get::<Option<_>, _>("paused_kinds")?.unwrap_or_default();
    let mut kinds: Vec<_> = names.iter().filter_map(|name| Kind::new(name).ok()).collect();
    kinds.sort_unstable();
    Ok(kinds)
}

fn stats<'c>(
    queue: &'c String,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, QueueStats> {
    Box::pin(async move {
        let row = sqlx::query(statements.stats.clone()).bind(queue).fetch_one(connection).await?;
        let number = |name| row.try_get::<i64, _>(name).map(|n| u64::try_from(n).unwrap_or(0));
        let mut stats = QueueStats::default();
        stats.ready = number("ready")?;
        stats.running = number("running")?;
        stats.scheduled = number("scheduled")?;
        stats.retrying = number("retrying")?;
        stats.completed = number("completed")?;
        stats.dead = number("dead")?;
        let oldest: Option<i64> = row.try_get("oldest_us")?;
        stats.oldest_ready = oldest.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
        stats.paused = row.try_get("paused")?;
        stats.paused_kinds = paused_kinds(&row)?;
        Ok(stats)
    })
}

fn gauges<'c>(
    args: &'c (String, i32),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Gauges> {
    Box::pin(async move {
        let row =
            sqlx::query(statements.gauges.clone()).bind(&args.0).bind(args.1).fetch_one(connection).await?;
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut gauges = Gauges::default();
        gauges.paused = row.try_get("paused")?;
        gauges.paused_kinds = paused_kinds(&row)?;
        gauges.dead = whole(row.try_get("dead")?);
        gauges.ready = whole(row.try_get("ready")?);
        gauges.given = row.try_get::<Option<i64>, _>("given")?.map(whole).into_iter().collect();
        let kinds: Vec<String> = row.try_get::<Option<_>, _>("kinds")?.unwrap_or_default();
        let numbers: Vec<i64> = row.try_get::<Option<_>, _>("numbers")?.unwrap_or_default();
        let ages: Vec<i64> = row.try_get::<Option<_>, _>("ages_us")?.unwrap_or_default();
        for ((kind, number), age) in kinds.iter().zip(numbers).zip(ages) {
            let kind = Kind::new(kind).map_err(bad)?;
            let since_enqueued = Duration::from_micros(whole(age));
            gauges.kinds.push(KindGauge { kind, part: 0, number: whole(number), since_enqueued });
        }
        Ok(gauges)
    })
}

fn queues<'c>(
    _: &'c (),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<String>> {
    Box::pin(sqlx::query_scalar(statements.queues.clone()).fetch_all(connection))
}

fn bad<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn record(row: &PgRow) -> Result<JobRecord, sqlx::Error> {
    let time = |name| -> Result<Option<Timestamp>, sqlx::Error> {
        // A time beyond what can be shown is shown as the last that can.
        let us: Option<i64> = row.try_get(name)?;
        Ok(us.map(|us| Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX)))
    };
    let count = |name| row.try_get::<i32, _>(name).map(|n| u32::try_from(n).unwrap_or(0));
    let state: String = row.try_get("state")?;
    let reason: Option<String> = row.try_get("reason")?;
    let priority: i16 = row.try_get("priority")?;
    Ok(JobRecord {
        id: JobId::from_uuid(row.try_get("id")?),
        kind: Kind::new(row.try_get::<String, _>("kind")?).map_err(bad)?,
        queue: QueueName::new(row.try_get::<String, _>("queue")?).map_err(bad)?,
        state: JobState::from_word(&state).unwrap_or(JobState::Ready),
        priority: u8::try_from(priority).ok().and_then(Priority::new).unwrap_or_default(),
        attempt: count("attempt")?,
        max_attempts: max_attempts(row.try_get("max_attempts")?),
        claims: u64::try_from(row.try_get::<i64, _>("claims")?).unwrap_or(0),
        crashes: count("crashes")?,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
        headers: headers(row.try_get::<Option<String>, _>("headers")?.as_deref()),
        enqueued_at: time("enqueued_us")?.unwrap_or_default(),
        run_at: time("run_us")?,
        completed_at: time("completed_us")?,
        died_at: time("died_us")?,
        dead_reason: reason.as_deref().and_then(DeadReason::from_word),
        errors: errors(row.try_get::<Option<String>, _>("errors")?.as_deref()),
        notes: Vec::new(),
    })
}

/// What went wrong, as far as it can be read.
fn errors(json: Option<&str>) -> Vec<AttemptError> {
    let Some(serde_json::Value::Array(list)) = json.and_then(|j| serde_json::from_str(j).ok()) else {
        return Vec::new();
    };
    let one = |value: &serde_json::Value| {
        Some(AttemptError {
            attempt: u32::try_from(value.get("attempt")?.as_u64()?).ok()?,
            at: Timestamp::from_microsecond(value.get("at")?.as_i64()?).ok()?,
            worker: value.get("worker").and_then(|w| w.as_str()?.parse().ok()),
            error: value.get("error")?.as_str()?.to_owned(),
        })
    };
    list.iter().filter_map(one).collect()
}
