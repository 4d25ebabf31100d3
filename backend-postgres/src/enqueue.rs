//! Jobs to columns.

use crate::batches::Wait;
use crate::call::Reply;
use crate::error::{NAME, failed, refused};
use crate::schema::Statements;
use job_core::{
    BackendError, Enqueued, ErrorKind, JobId, KeyName, KeyTaken, Kind, NewJob, OnConflict, Priority,
    QueueName, Suspicion, When, seeded_bug,
};
use sqlx::{Connection as _, PgConnection, Row};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const UNLIMITED: i32 = i32::MAX;

/// The longest delay that a timestamp can hold, about 250,000 years.
const DELAY_MAX: i64 = 7_900_000_000_000_000_000;

/// When a job is due that waits for a batch, in microseconds: the last day of the year 9999.
const NEVER: i64 = 253_402_214_400_000_000;

pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(DELAY_MAX).min(DELAY_MAX)
}

/// The lanes that are known to exist. They never go away.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    fresh: HashMap<QueueName, HashMap<(Kind, Priority), i32>>,
    by_id: HashMap<i32, LaneInfo>,
    /// Queues whose claims look for lines.
    lined: HashSet<QueueName>,
}

/// What a lane says of its jobs.
#[derive(Debug, Clone)]
pub(crate) struct LaneInfo {
    pub(crate) kind: Kind,
    pub(crate) priority: Priority,
    pub(crate) suspicion: Suspicion,
}

/// Lanes of one queue to register.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) queue: QueueName,
    kinds: Vec<String>,
    priorities: Vec<i16>,
}

/// A row of `register`: kind, priority, stage, lane; nulls for the queue itself.
type LaneRow = (i32, Option<i32>, Option<String>, Option<i16>, Option<i16>);

impl Lanes {
    /// The lane of each job, or what has to be registered first.
    pub(crate) fn of(&self, jobs: &[&NewJob]) -> Result<Vec<i32>, Vec<Register>> {
        let known = self.0.lock().expect("no panic while it is held");
        let mut missing: HashMap<QueueName, HashSet<(Kind, Priority)>> = HashMap::new();
        let mut found = Vec::with_capacity(jobs.len());
        for job in jobs {
            let key = (job.kind.clone(), job.priority);
            match known.fresh.get(&job.queue).and_then(|lanes| lanes.get(&key)) {
                Some(lane) => found.push(*lane),
                None => {
                    missing.entry(job.queue.clone()).or_default().insert(key);
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        Err(missing
            .into_iter()
            .map(|(queue, lanes)| {
                let (kinds, priorities) =
                    lanes.into_iter().map(|(k, p)| (k.as_str().to_owned(), i16::from(p.level()))).unzip();
                Register { queue, kinds, priorities }
            })
            .collect())
    }

    pub(crate) fn learn(&self, queue: QueueName, rows: Vec<LaneRow>) {
        let mut known = self.0.lock().expect("no panic while it is held");
        let known = &mut *known;
        let fresh = known.fresh.entry(queue).or_default();
        for (_, lane, kind, priority, stage) in rows {
            let (Some(lane), Some(kind), Some(priority)) = (lane, kind, priority) else { continue };
            let (Ok(kind), Some(priority)) =
                (Kind::new(kind), u8::try_from(priority).ok().and_then(Priority::new))
            else {
                continue;
            };
            let suspicion = match stage {
                Some(2) => Suspicion::Suspect,
                Some(3) => Suspicion::Solo,
                _ => Suspicion::None,
            };
            if stage == Some(0) {
                fresh.insert((kind.clone(), priority), lane);
            }
            known.by_id.insert(lane, LaneInfo { kind, priority, suspicion });
        }
    }

    /// Queues of these jobs whose claims may not know yet that there are lines. They are told outside of the transaction of
    /// an application, so that nobody waits for it to end.
    pub(crate) fn without_lines(&self, jobs: &[&NewJob]) -> Vec<QueueName> {
        let known = self.0.lock().expect("no panic while it is held");
        let new = |job: &&&NewJob| job.line().is_some() && !known.lined.contains(&job.queue);
        let queues: HashSet<_> = jobs.iter().filter(new).map(|job| job.queue.clone()).collect();
        queues.into_iter().collect()
    }

    pub(crate) fn learn_lines(&self, queue: QueueName) {
        self.0.lock().expect("no panic while it is held").lined.insert(queue);
    }

    /// What is known of these lanes; `None` if one is not known.
    pub(crate) fn info(&self, lanes: &[i32]) -> Option<HashMap<i32, LaneInfo>> {
        let known = self.0.lock().expect("no panic while it is held");
        let mut found = HashMap::new();
        for lane in lanes {
            if !found.contains_key(lane) {
                found.insert(*lane, known.by_id.get(lane)?.clone());
            }
        }
        Some(found)
    }
}

impl Register {
    /// Only asks for the lanes of a queue.
    pub(crate) fn look(queue: QueueName) -> Self {
        Self { queue, kinds: Vec::new(), priorities: Vec::new() }
    }
}

pub(crate) fn register<'c>(
    args: &'c Register,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<LaneRow>> {
    Box::pin(
        sqlx::query_as(statements.register.clone())
            .bind(args.queue.as_str())
            .bind(&args.kinds)
            .bind(&args.priorities)
            .fetch_all(connection),
    )
}

/// A batch as columns. A column that no job has is null.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) channel: String,
    pub(crate) notify: Vec<String>,
    lanes: Vec<i32>,
    ids: Vec<Uuid>,
    payloads: Vec<Vec<u8>>,
    max_attempts: Vec<i32>,
    versions: Vec<i64>,
    headers: Option<Vec<Option<String>>>,
    delays: Option<Vec<Option<i64>>>,
    ats: Option<Vec<Option<i64>>>,
    idem_scopes: Option<Vec<Option<Vec<u8>>>>,
    idem_keys: Option<Vec<Option<Vec<u8>>>>,
    idem_windows: Option<Vec<Option<i64>>>,
    unique_scopes: Option<Vec<Option<Vec<u8>>>>,
    unique_keys: Option<Vec<Option<Vec<u8>>>>,
    /// Jobs that wait for an event of a batch.
    pub(crate) waits: Vec<Wait>,
    on_conflicts: Option<Vec<Option<i16>>>,
    max_waits: Option<Vec<Option<i64>>>,
    /// False in a transaction of the application, which may last.
    pub(crate) own: bool,
}

impl Batch {
    pub(crate) fn new(jobs: &[&NewJob], lanes: Vec<i32>) -> Result<Self, BackendError> {
        for job in jobs {
            if job.headers.iter().any(|(k, v)| k.contains('\0') || v.contains('\0')) {
                let text = format!("the headers of {} contain a NUL byte", job.kind);
                return Err(refused("enqueue", ErrorKind::Rejected, text));
            }
        }
        let bytes = |text: &str| text.as_bytes().to_vec();
        Ok(Self {
            channel: String::new(),
            notify: Vec::new(),
            lanes,
            ids: jobs.iter().map(|j| j.id.as_uuid()).collect(),
            payloads: jobs.iter().map(|j| j.payload.to_vec()).collect(),
            max_attempts: jobs.iter().map(|j| max_attempts(j.max_attempts)).collect(),
            versions: jobs.iter().map(|j| i64::from(j.version)).collect(),
            headers: column(jobs, |j| {
                (!j.headers.is_empty())
                    .then(|| serde_json::to_string(&j.headers).expect("text to text is always JSON"))
            }),
            delays: column(jobs, |j| match j.when {
                When::After(delay) => Some(micros(delay)),
                When::Now | When::At(_) | When::Batch { .. } => None,
            }),
            ats: column(jobs, |j| match j.when {
                When::At(at) => Some(at.as_microsecond()),
                When::Batch { .. } => Some(NEVER),
                When::Now | When::After(_) => None,
            }),
            idem_scopes: column(jobs, |j| j.idempotency.as_ref().map(|k| bytes(&k.scope))),
            idem_keys: column(jobs, |j| j.idempotency.as_ref().map(|k| bytes(k.key.as_str()))),
            idem_windows: column(jobs, |j| j.idempotency.as_ref().map(|k| micros(k.window))),
            unique_scopes: column(jobs, |j| j.unique.as_ref().map(|k| bytes(&k.scope))),
            unique_keys: column(jobs, |j| j.unique.as_ref().map(|k| bytes(k.key.as_str()))),
            waits: jobs.iter().filter_map(|j| Wait::of(j)).collect(),
            on_conflicts: column(jobs, |j| match j.on_conflict {
                OnConflict::Error => Some(1),
                OnConflict::Replace => Some(2),
                OnConflict::Debounce { .. } => Some(3),
                OnConflict::Latest => Some(4),
                _ => None,
            }),
            max_waits: column(jobs, |j| j.on_conflict.max_wait().map(micros)),
            own: true,
        })
    }
}

fn column<T>(jobs: &[&NewJob], of: impl Fn(&NewJob) -> Option<T>) -> Option<Vec<Option<T>>> {
    let first = jobs.iter().position(|j| of(j).is_some())?;
    Some(jobs.iter().enumerate().map(|(n, j)| if n < first { None } else { of(j) }).collect())
}

fn max_attempts(max: u32) -> i32 {
    match max {
        u32::MAX => UNLIMITED,
        max => i32::try_from(max).unwrap_or(UNLIMITED).min(UNLIMITED - 1),
    }
}

/// Stores a batch; the holders of keys that were taken, and the jobs that were replaced.
pub(crate) fn enqueue<'c>(
    args: &'c Batch,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Option<Vec<Option<Uuid>>>> {
    Box::pin(async move {
        if args.waits.is_empty() {
            return store(args, statements, connection).await;
        }
        // This runs to its end in a task of its own, so the transaction is never left half-way.
        let mut tx = connection.begin().await?;
        let holders = enqueue_within(args, statements, &mut tx).await?;
        tx.commit().await?;
        Ok(holders)
    })
}

/// The same in a transaction that is open.
pub(crate) async fn enqueue_within(
    args: &Batch,
    statements: &Statements,
    connection: &mut PgConnection,
) -> Result<Option<Vec<Option<Uuid>>>, sqlx::Error> {
    let holders = store(args, statements, connection).await?;
    for wait in &args.waits {
        wait.note(statements, connection).await?;
    }
    Ok(holders)
}

async fn store(
    args: &Batch,
    statements: &Statements,
    connection: &mut PgConnection,
) -> Result<Option<Vec<Option<Uuid>>>, sqlx::Error> {
    let row = bind(sqlx::query(statements.enqueue.clone()), args).fetch_one(connection).await?;
    row.try_get(0)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Adds the columns of a batch, which are the first parameters of whatever stores one.
pub(crate) fn bind<'q>(query: Query<'q>, args: &'q Batch) -> Query<'q> {
    query
        .bind(&args.channel)
        .bind(&args.notify)
        .bind(args.ids.first())
        .bind(&args.lanes)
        .bind(&args.ids)
        .bind(&args.payloads)
        .bind(&args.max_attempts)
        .bind(&args.versions)
        .bind(&args.headers)
        .bind(&args.delays)
        .bind(&args.ats)
        .bind(&args.idem_scopes)
        .bind(&args.idem_keys)
        .bind(&args.idem_windows)
        .bind(&args.unique_scopes)
        .bind(&args.unique_keys)
        .bind(&args.on_conflicts)
        .bind(&args.max_waits)
        .bind(args.own)
}

/// The jobs without repetitions of an id.
pub(crate) fn distinct(jobs: &[NewJob]) -> Vec<&NewJob> {
    let mut seen = HashSet::with_capacity(jobs.len());
    jobs.iter().filter(|j| seen.insert(j.id)).collect()
}

/// The queues of these jobs.
pub(crate) fn queues<'a>(jobs: &[&'a NewJob]) -> Vec<&'a QueueName> {
    let mut queues: Vec<_> = jobs.iter().map(|j| &j.queue).collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// The answers for every job of the request from those for its distinct ones.
pub(crate) fn answers(
    jobs: &[NewJob],
    distinct: &[&NewJob],
    holders: Option<Vec<Option<Uuid>>>,
) -> Vec<Enqueued> {
    let mine = |job: &NewJob| Enqueued::stored(job.id);
    let holders = if seeded_bug!("postgres_answers_reversed") {
        holders.map(|h| h.into_iter().rev().collect())
    } else {
        holders
    };
    let Some(mut holders) = holders else { return jobs.iter().map(mine).collect() };
    let replaced = holders.split_off(distinct.len().min(holders.len()));
    let mut other: HashMap<_, _> = HashMap::new();
    for (n, job) in distinct.iter().enumerate() {
        let at = |ids: &[Option<Uuid>]| ids.get(n).copied().flatten().map(JobId::from_uuid);
        if let Some(holder) = at(&holders) {
            other.insert(job.id, Enqueued::existing(holder));
        } else if let Some(replaced) = at(&replaced) {
            other.insert(job.id, Enqueued::replacing(job.id, replaced));
        }
    }
    jobs.iter().map(|job| other.get(&job.id).copied().unwrap_or_else(|| mine(job))).collect()
}

/// The same error, or a better one if a job is refused because a key of it is taken.
pub(crate) fn explain(error: BackendError, jobs: &[&NewJob]) -> BackendError {
    key_taken(&error, jobs).map_or(error, |taken| BackendError::of_key_taken(NAME, taken))
}

fn key_taken(error: &BackendError, jobs: &[&NewJob]) -> Option<KeyTaken> {
    let source = std::error::Error::source(error)?.downcast_ref::<sqlx::Error>()?.as_database_error()?;
    if source.code().as_deref() != Some("SFKEY") {
        return None;
    }
    let detail = source.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.detail()?;
    let mut words = detail.split(' ');
    let job = jobs.get(words.next()?.parse::<usize>().ok()?.checked_sub(1)?)?;
    let name = if words.next()? == "1" { KeyName::Idempotency } else { KeyName::Unique };
    let holder = JobId::from_uuid(words.next()?.parse().ok()?);
    Some(KeyTaken::of(job, name, holder))
}

/// On the caller's own connection: an error leaves the transaction to the caller, who rolls it back.
pub(crate) fn in_transaction(error: sqlx::Error) -> BackendError {
    failed("enqueue", error)
}
