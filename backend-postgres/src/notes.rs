//! Notes: the calls.

use crate::call::Reply;
use crate::schema::Statements;
use crate::settle::lane_of;
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{Amendment, Hold, Note, NoteEdit, Notes, QueueName};
use sqlx::{PgConnection, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Where the row of a job is, and under which lease it is held.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) queue: String,
    pub(crate) job: Uuid,
    pub(crate) lane: i32,
    pub(crate) seq: i64,
    pub(crate) top: i64,
    pub(crate) lease: Uuid,
}

impl Spot {
    /// `None` if the hold is none of ours.
    pub(crate) fn of(queue: &QueueName, hold: &Hold) -> Option<Self> {
        let [_, seq, top] = hold.locator;
        let (queue, job, lease) = (queue.as_str().to_owned(), hold.job.as_uuid(), hold.lease.as_uuid());
        Some(Self { queue, job, lane: lane_of(hold)?, seq, top, lease })
    }
}

/// Edits of notes as two arrays.
#[derive(Debug)]
struct Edits {
    names: Vec<String>,
    values: Vec<Option<Vec<u8>>>,
}

impl Edits {
    fn of(edits: &[NoteEdit]) -> Self {
        // Of two edits of one note the last counts; a statement may write a row only once.
        let last: BTreeMap<_, _> = edits.iter().map(|e| (&e.name, e.value.as_ref())).collect();
        let (names, values) = last.into_iter().map(|(n, v)| (n.clone(), v.map(|v| v.to_vec()))).unzip();
        Self { names, values }
    }
}

#[derive(Debug)]
pub(crate) struct Save {
    spot: Spot,
    edits: Edits,
}

impl Save {
    pub(crate) fn new(spot: Spot, edits: &[NoteEdit]) -> Self {
        Self { spot, edits: Edits::of(edits) }
    }
}

#[derive(Debug)]
pub(crate) struct Amend {
    job: Uuid,
    payload: Option<Vec<u8>>,
    edits: Edits,
}

impl Amend {
    pub(crate) fn new(job: Uuid, amendment: &Amendment) -> Self {
        let payload = amendment.payload.as_ref().map(|p| p.to_vec());
        Self { job, payload, edits: Edits::of(&amendment.notes) }
    }
}

pub(crate) fn amend<'c>(
    args: &'c Amend,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, bool> {
    let query = sqlx::query_scalar(statements.amend.clone())
        .bind(args.job)
        .bind(&args.payload)
        .bind(&args.edits.names)
        .bind(&args.edits.values);
    Box::pin(query.fetch_one(connection))
}

pub(crate) fn save<'c>(
    args: &'c Save,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, bool> {
    let spot = &args.spot;
    let query = sqlx::query_scalar(statements.save.clone())
        .bind(&spot.queue)
        .bind(spot.job)
        .bind(spot.lane)
        .bind(spot.seq)
        .bind(spot.top)
        .bind(spot.lease)
        .bind(&args.edits.names)
        .bind(&args.edits.values);
    Box::pin(query.fetch_one(connection))
}

pub(crate) fn notes<'c>(
    job: &'c Uuid,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Notes> {
    Box::pin(async move {
        let rows = sqlx::query(statements.notes.clone()).bind(job).fetch_all(connection).await?;
        let instant = |us: i64| Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
        let mut read = Notes { now: Timestamp::MAX, notes: Vec::with_capacity(rows.len()) };
        for row in rows {
            read.now = instant(row.try_get("now_us")?);
            // One row without a note says only what the time is.
            let Some(name) = row.try_get::<Option<String>, _>("name")? else { continue };
            let value = Bytes::from(row.try_get::<Vec<u8>, _>("value")?);
            read.notes.push(Note { name, value, at: instant(row.try_get("at_us")?) });
        }
        read.notes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(read)
    })
}
