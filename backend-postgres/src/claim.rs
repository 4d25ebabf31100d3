//! Columns to claimed jobs.

use crate::call::Reply;
use crate::enqueue::{LaneInfo, UNLIMITED};
use crate::schema::Statements;
use crate::settle::{Verdicts, locator};
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{Ahead, ClaimedJob, Headers, Hold, JobId, LeaseId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// Payloads that are fetched in one query after a claim.
const FETCH_BYTES: i64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct ClaimArgs {
    pub(crate) queue: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) limit: i32,
    pub(crate) lease: Uuid,
    pub(crate) worker: Uuid,
    pub(crate) lease_for: i64,
    pub(crate) suspects: Vec<Uuid>,
    pub(crate) solo: bool,
    /// One for each kind, or none.
    pub(crate) ahead: Vec<i32>,
    /// Empty if there is nothing to settle.
    pub(crate) verdicts: Verdicts,
}

/// What the function `claim` returns.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) answers: Option<Vec<i16>>,
    pub(crate) contended: bool,
    top: Option<i64>,
    lanes: Vec<i32>,
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    attempts: Vec<i32>,
    maxes: Vec<i32>,
    claims: Vec<i64>,
    lease_no: Vec<i16>,
    versions: Vec<i64>,
    enqueued: Vec<i64>,
    payloads: Vec<Option<Vec<u8>>>,
    headers: Option<Vec<Option<String>>>,
    idem_scopes: Option<Vec<Option<Vec<u8>>>>,
    idem_keys: Option<Vec<Option<Vec<u8>>>>,
    sizes: Option<Vec<i32>>,
    now: Option<i64>,
    retry: Option<i64>,
    at_once: Option<i32>,
    ahead: Option<i32>,
}

pub(crate) fn claim<'c>(
    args: &'c ClaimArgs,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Claimed> {
    Box::pin(async move {
        let v = (!args.verdicts.seqs.is_empty()).then_some(&args.verdicts);
        let row = sqlx::query(statements.claim.clone())
            .bind(&args.queue)
            .bind(&args.kinds)
            .bind(args.limit)
            .bind(args.lease)
            .bind(args.worker)
            .bind(args.lease_for)
            .bind(&args.suspects)
            .bind(args.solo)
            .bind(&args.ahead)
            .bind(v.map(|v| &v.lanes))
            .bind(v.map(|v| &v.seqs))
            .bind(v.map(|v| &v.tops))
            .bind(v.map(|v| &v.leases))
            .bind(v.and_then(|v| v.verdicts.as_ref()))
            .bind(v.and_then(|v| v.afters.as_ref()))
            .bind(v.and_then(|v| v.errors.as_ref()))
            .bind(v.and_then(|v| v.reasons.as_ref()))
            .fetch_one(connection)
            .await?;
        read(&row)
    })
}

fn read(row: &PgRow) -> Result<Claimed, sqlx::Error> {
    fn list<'r, T>(row: &'r PgRow, name: &str) -> Result<Vec<T>, sqlx::Error>
    where
        Option<Vec<T>>: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        Ok(row.try_get::<Option<Vec<T>>, _>(name)?.unwrap_or_default())
    }
    Ok(Claimed {
        answers: row.try_get("answers")?,
        contended: row.try_get::<Option<bool>, _>("contended")?.unwrap_or(false),
        top: row.try_get("top")?,
        lanes: list(row, "lanes")?,
        seqs: list(row, "seqs")?,
        ids: list(row, "ids")?,
        attempts: list(row, "attempts")?,
        maxes: list(row, "maxes")?,
        claims: list(row, "claims")?,
        lease_no: list(row, "lease_no")?,
        versions: list(row, "versions")?,
        enqueued: list(row, "enqueued")?,
        payloads: list(row, "payloads")?,
        headers: row.try_get("headers")?,
        idem_scopes: row.try_get("idem_scopes")?,
        idem_keys: row.try_get("idem_keys")?,
        sizes: row.try_get("sizes")?,
        now: row.try_get("now_us")?,
        retry: row.try_get("retry_us")?,
        at_once: row.try_get("at_once")?,
        ahead: row.try_get("ahead")?,
    })
}

/// A value of a column, which is one for all jobs if they share it.
fn at<T: Copy>(column: &[T], n: usize) -> T {
    if let [value] = column { *value } else { column[n] }
}

impl Claimed {
    /// The rows whose payloads did not travel with the reply, in parts of a bounded size.
    pub(crate) fn missing(&self) -> Vec<(Vec<i32>, Vec<i64>)> {
        let Some(sizes) = &self.sizes else { return Vec::new() };
        let mut parts: Vec<(Vec<i32>, Vec<i64>)> = Vec::new();
        let mut room = 0;
        for n in (0..self.seqs.len()).filter(|n| self.payloads[*n].is_none()) {
            let size = i64::from(sizes[n]);
            if size > room || parts.is_empty() {
                parts.push((Vec::new(), Vec::new()));
                room = FETCH_BYTES;
            }
            room -= size;
            if let Some((lanes, seqs)) = parts.last_mut() {
                lanes.push(at(&self.lanes, n));
                seqs.push(self.seqs[n]);
            }
        }
        parts
    }

    /// What the server's clock said.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.now?).ok()
    }

    /// When it makes sense to ask again, if limits left some jobs.
    pub(crate) fn retry_in(&self) -> Option<Duration> {
        self.retry.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)))
    }

    /// What was taken ahead: the kind is that of a lane.
    pub(crate) fn ahead(&self, lanes: &HashMap<i32, LaneInfo>) -> Option<Ahead> {
        let slots = u32::try_from(self.at_once?).ok()?;
        Some(Ahead { kind: lanes.get(&self.ahead?)?.kind.clone(), slots })
    }

    pub(crate) fn lanes(&self) -> &[i32] {
        &self.lanes
    }

    /// The jobs; those whose payload is not there any more have lost their lease since, and are left out.
    pub(crate) fn jobs(
        mut self,
        lease: LeaseId,
        suspects: &[LeaseId],
        lanes: &HashMap<i32, LaneInfo>,
        mut fetched: HashMap<i64, Vec<u8>>,
    ) -> Vec<ClaimedJob> {
        let mut jobs = Vec::with_capacity(self.seqs.len());
        for n in 0..self.seqs.len() {
            let (lane, seq) = (at(&self.lanes, n), self.seqs[n]);
            let payload = self.payloads[n].take().or_else(|| fetched.remove(&seq));
            let (Some(payload), Some(info)) = (payload, lanes.get(&lane)) else { continue };
            let (lease, top) = match usize::try_from(at(&self.lease_no, n)).unwrap_or(0) {
                0 => (lease, self.top.unwrap_or(seq)),
                place => (suspects.get(place - 1).copied().unwrap_or(lease), seq),
            };
            let job = JobId::from_uuid(self.ids[n]);
            jobs.push(ClaimedJob {
                hold: Hold {
                    job,
                    lease,
                    claims: u64::try_from(at(&self.claims, n)).unwrap_or(0),
                    locator: locator(job, lane, seq, top),
                },
                kind: info.kind.clone(),
                priority: info.priority,
                attempt: u32::try_from(at(&self.attempts, n)).unwrap_or(1),
                max_attempts: max_attempts(at(&self.maxes, n)),
                suspicion: info.suspicion,
                payload: Bytes::from(payload),
                version: u32::try_from(at(&self.versions, n)).unwrap_or(1),
                headers: headers(self.headers.as_ref().and_then(|h| h[n].as_deref())),
                idempotency_key: self.idempotency_key(n),
                enqueued_at: Timestamp::from_microsecond(self.enqueued[n]).unwrap_or_default(),
            });
        }
        jobs
    }

    fn idempotency_key(&self, n: usize) -> Option<String> {
        let text = |column: &Option<Vec<Option<Vec<u8>>>>| {
            column.as_ref().and_then(|c| c[n].as_deref()).map(|b| String::from_utf8_lossy(b).into_owned())
        };
        Some(format!("{}:{}", text(&self.idem_scopes)?, text(&self.idem_keys)?))
    }
}

pub(crate) fn max_attempts(max: i32) -> u32 {
    if max == UNLIMITED { u32::MAX } else { u32::try_from(max).unwrap_or(1) }
}

/// Headers that somebody wrote by hand need not be texts.
pub(crate) fn headers(json: Option<&str>) -> Headers {
    let Some(serde_json::Value::Object(map)) = json.and_then(|j| serde_json::from_str(j).ok()) else {
        return Headers::new();
    };
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    map.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Payloads that were too large for the reply, fetched without a lock.
pub(crate) fn payloads<'c>(
    args: &'c (Vec<i32>, Vec<i64>),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<(i64, Vec<u8>)>> {
    Box::pin(sqlx::query_as(statements.payloads.clone()).bind(&args.0).bind(&args.1).fetch_all(connection))
}
