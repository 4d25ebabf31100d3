//! Verdicts to columns.

use crate::call::Reply;
use crate::enqueue::{Batch, Lanes, distinct, enqueue_within, micros};
use crate::schema::Statements;
use job_core::{Hold, JobId, QueueName, Settled, Settlement, Verdict, seeded_bug};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

/// A batch of verdicts as columns.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) lanes: Vec<i32>,
    pub(crate) seqs: Vec<i64>,
    pub(crate) tops: Vec<i64>,
    pub(crate) leases: Vec<Uuid>,
    /// Null columns if every verdict is complete.
    pub(crate) verdicts: Option<Vec<i16>>,
    pub(crate) afters: Option<Vec<i64>>,
    pub(crate) errors: Option<Vec<Option<String>>>,
    pub(crate) reasons: Option<Vec<Option<&'static str>>>,
}

/// The place of a row, with a mark of its job: a hold whose parts were mixed up is seen before it is sent.
pub(crate) fn locator(job: JobId, lane: i32, seq: i64, top: i64) -> [i64; 3] {
    [i64::from(lane) | imprint(job) << 32, seq, top]
}

/// 31 of the random bits of an id.
fn imprint(job: JobId) -> i64 {
    i64::try_from(job.as_uuid().as_u128() & 0x7fff_ffff).expect("31 bits")
}

pub(crate) fn lane_of(hold: &Hold) -> Option<i32> {
    let whole = hold.locator[0];
    if whole >> 32 == imprint(hold.job) { i32::try_from(whole & 0x7fff_ffff).ok() } else { None }
}

impl Verdicts {
    /// The columns of those settlements that can be ours, and the place of each in the request.
    pub(crate) fn new(settlements: &[Settlement]) -> (Self, Vec<usize>) {
        let mut columns = Self::default();
        let mut places = Vec::with_capacity(settlements.len());
        let plain = settlements.iter().all(|s| matches!(s.verdict, Verdict::Complete | Verdict::Cancel));
        if !plain {
            (columns.verdicts, columns.afters) = (Some(Vec::new()), Some(Vec::new()));
            (columns.errors, columns.reasons) = (Some(Vec::new()), Some(Vec::new()));
        }
        for (place, Settlement { hold, verdict, .. }) in settlements.iter().enumerate() {
            let Some(lane) = lane_of(hold) else { continue };
            places.push(place);
            columns.lanes.push(lane);
            columns.seqs.push(hold.locator[1]);
            columns.tops.push(hold.locator[2]);
            columns.leases.push(hold.lease.as_uuid());
            if plain {
                continue;
            }
            let (word, after, error, reason) = match verdict {
                Verdict::Retry { after, error } => (1, micros(*after), Some(error.as_str().to_owned()), None),
                Verdict::Snooze { delay } => (2, micros(*delay), None, None),
                Verdict::Release => (3, 0, None, None),
                Verdict::Dead { reason, error } => {
                    (4, 0, Some(error.as_str().to_owned()), Some(reason.as_str()))
                }
                Verdict::Keep(kept) => {
                    let result = kept.result.as_deref().and_then(|r| std::str::from_utf8(r).ok());
                    (5, micros(kept.period), result.map(str::to_owned), None)
                }
                // Complete and Cancel. A verdict of a later contract ends the job rather than running it for ever.
                _ => (0, 0, None, None),
            };
            push(&mut columns.verdicts, word);
            push(&mut columns.afters, after);
            push(&mut columns.errors, error);
            push(&mut columns.reasons, reason);
        }
        (columns, places)
    }
}

fn push<T>(column: &mut Option<Vec<T>>, value: T) {
    if let Some(column) = column {
        column.push(value);
    }
}

/// One answer for each of `n` settlements from those for the ones that were sent.
pub(crate) fn answers(n: usize, places: &[usize], sent: &[i16]) -> Vec<Settled> {
    let mut answers = vec![Settled::Stale; n];
    for (&place, &answer) in places.iter().zip(sent) {
        answers[place] = match answer {
            0 => Settled::Applied,
            1 => Settled::AlreadyApplied,
            _ => Settled::Stale,
        };
    }
    answers
}

#[derive(Debug)]
pub(crate) struct Settle {
    pub(crate) queue: QueueName,
    pub(crate) verdicts: Verdicts,
    /// Follow-up jobs as batches, with the place of their settlement among the verdicts.
    pub(crate) follow_ups: Vec<(usize, Batch)>,
}

/// The batches of follow-up jobs. Their lanes must be registered.
pub(crate) fn follow_ups(
    settlements: &[Settlement],
    places: &[usize],
    lanes: &Lanes,
) -> Result<Vec<(usize, Batch)>, job_core::BackendError> {
    let mut batches = Vec::new();
    for (n, &place) in places.iter().enumerate() {
        let jobs = distinct(&settlements[place].follow_ups);
        if let Ok(lanes) = lanes.of(&jobs)
            && !jobs.is_empty()
        {
            batches.push((n, Batch::new(&jobs, lanes)?));
        }
    }
    Ok(batches)
}

pub(crate) fn settle<'c>(
    args: &'c Settle,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<i16>> {
    Box::pin(async move {
        if args.follow_ups.is_empty() {
            return settle_on(args, statements, connection).await;
        }
        // This runs to its end in a task of its own, so the transaction is never left half-way.
        let mut tx = connection.begin().await?;
        let answers = settle_on(args, statements, &mut tx).await?;
        for (n, batch) in &args.follow_ups {
            if answers.get(*n) == Some(&0) || seeded_bug!("postgres_follow_ups_always") {
                enqueue_within(batch, statements, &mut tx).await?;
            }
        }
        tx.commit().await?;
        Ok(answers)
    })
}

async fn settle_on(
    args: &Settle,
    statements: &Statements,
    connection: &mut PgConnection,
) -> Result<Vec<i16>, sqlx::Error> {
    let v = &args.verdicts;
    let row = sqlx::query(statements.settle.clone())
        .bind(args.queue.as_str())
        .bind(&v.lanes)
        .bind(&v.seqs)
        .bind(&v.tops)
        .bind(&v.leases)
        .bind(&v.verdicts)
        .bind(&v.afters)
        .bind(&v.errors)
        .bind(&v.reasons)
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}
