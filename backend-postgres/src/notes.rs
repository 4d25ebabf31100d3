//! Notes: the calls.

use crate::call::Reply;
use crate::schema::Statements;
use crate::settle::lane_of;
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{Amendment, Hold, Note, NoteEdit, Notes, QueueName};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use sqlx::{PgConnection, Postgres, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

type Scalar<'q, T> = QueryScalar<'q, Postgres, T, PgArguments>;

/// Where the row of a job is, and under which lease it is held.
#[derive(Debug)]
pub(crate) struct Spot {
    queue: String,
    job: Uuid,
    lane: i32,
    seq: i64,
    top: i64,
    lease: Uuid,
}

impl Spot {
    /// `None` if the hold is none of ours.
    pub(crate) fn of(queue: &QueueName, hold: &Hold) -> Option<Self> {
        let [_, seq, top] = hold.locator;
        let (queue, job, lease) = (queue.as_str().to_owned(), hold.job.as_uuid(), hold.lease.as_uuid());
        Some(Self { queue, job, lane: lane_of(hold)?, seq, top, lease })
    }

    /// The first parameters of every statement about a row that is held.
    pub(crate) fn bind<'q, T>(&'q self, query: Scalar<'q, T>) -> Scalar<'q, T> {
        let query = query.bind(&self.queue).bind(self.job).bind(self.lane);
        query.bind(self.seq).bind(self.top).bind(self.lease)
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
    let query = args.spot.bind(sqlx::query_scalar(statements.save.clone()));
    let query = query.bind(&args.edits.names).bind(&args.edits.values);
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
