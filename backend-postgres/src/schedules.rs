//! Schedules: texts in, texts out, and a step with the columns of an enqueue.

use crate::backend::Inner;
use crate::call::Reply;
use crate::enqueue::{Batch, answers, bind, distinct, queues};
use crate::error::refused;
use crate::schema::Statements;
use jiff::Timestamp;
use job_core::{
    BackendError, ErrorKind, FireRequest, Fired, QueueName, ScheduleChange, ScheduleDef, ScheduleEntry,
    ScheduleName, Schedules,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// A row of the table.
struct Found {
    name: String,
    version: i64,
    definition: String,
    job: String,
    watermark: i64,
    paused: bool,
}

impl Found {
    fn entry(self) -> Result<ScheduleEntry, BackendError> {
        let unreadable = |text: String| refused("schedules", ErrorKind::Permanent, text);
        let name = ScheduleName::new(self.name).map_err(|e| unreadable(e.to_string()))?;
        Ok(ScheduleEntry {
            version: u64::try_from(self.version).unwrap_or(0),
            watermark: instant(self.watermark)
                .ok_or_else(|| unreadable(format!("{name} has no watermark")))?,
            paused: self.paused,
            def: ScheduleDef { name, definition: self.definition, job: self.job },
        })
    }
}

pub(crate) fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

impl Inner {
    pub(crate) async fn put_schedules(
        &self,
        queue: &QueueName,
        schedules: &[ScheduleDef],
    ) -> Result<(), BackendError> {
        let texts = |of: fn(&ScheduleDef) -> &str| schedules.iter().map(|s| of(s).to_owned()).collect();
        let args = Put {
            queue: queue.as_str().to_owned(),
            names: texts(|s| s.name.as_str()),
            definitions: texts(|s| &s.definition),
            jobs: texts(|s| &s.job),
        };
        self.calls.run("put schedules", args, put).await
    }

    pub(crate) async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        let (now, found) = self.calls.run("schedules", queue.as_str().to_owned(), read).await?;
        let entries = found.into_iter().map(Found::entry).collect::<Result<_, _>>()?;
        Ok(Schedules { now: instant(now).unwrap_or(Timestamp::UNIX_EPOCH), entries })
    }

    pub(crate) async fn fire(
        &self,
        queue: &QueueName,
        request: &FireRequest<'_>,
    ) -> Result<Fired, BackendError> {
        let unique = distinct(request.jobs);
        let lanes = self.lanes_of(&unique).await?;
        let mut batch = Batch::new(&unique, lanes)?;
        batch.channel = self.wake.channel().to_owned();
        batch.notify = self.wake.leading(&queues(&unique), &self.calls);
        let args = Step {
            queue: queue.as_str().to_owned(),
            name: request.schedule.as_str().to_owned(),
            version: i64::try_from(request.version).unwrap_or(i64::MAX),
            from: request.from.as_microsecond(),
            to: request.to.as_microsecond(),
            batch,
        };
        let (outcome, told) = self.calls.run("fire", args, fire).await?;
        Ok(match outcome {
            0 => {
                self.wake.bells.ring(queue);
                Fired::Applied(answers(request.jobs, &unique, told))
            }
            2 => Fired::Early,
            _ => Fired::Stale,
        })
    }

    pub(crate) async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        let (number, seen) = match change {
            ScheduleChange::Pause => (0, None),
            ScheduleChange::Resume => (1, None),
            ScheduleChange::RemoveUnchanged { version, watermark } => (3, Some((version, watermark))),
            _ => (2, None),
        };
        let args = Change {
            queue: queue.as_str().to_owned(),
            name: name.as_str().to_owned(),
            change: number,
            version: seen.and_then(|(version, _)| i64::try_from(version).ok()),
            watermark: seen.map(|(_, watermark)| watermark.as_microsecond()),
        };
        self.calls.run("change schedule", args, change_one).await
    }
}

struct Put {
    queue: String,
    names: Vec<String>,
    definitions: Vec<String>,
    jobs: Vec<String>,
}

fn put<'c>(args: &'c Put, statements: &'c Statements, connection: &'c mut PgConnection) -> Reply<'c, ()> {
    Box::pin(async move {
        let query = sqlx::query(statements.put_schedules.clone()).bind(&args.queue).bind(&args.names);
        query.bind(&args.definitions).bind(&args.jobs).execute(connection).await?;
        Ok(())
    })
}

fn read<'c>(
    queue: &'c String,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, (i64, Vec<Found>)> {
    Box::pin(async move {
        let rows = sqlx::query(statements.schedules.clone()).bind(queue).fetch_all(connection).await?;
        let now = rows.first().map_or(Ok(0), |row| row.try_get("now"))?;
        // A queue without schedules has one row, for the clock.
        let there = |row: &&PgRow| !matches!(row.try_get::<Option<String>, _>("name"), Ok(None));
        let found = rows.iter().filter(there).map(|row| {
            Ok(Found {
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                definition: row.try_get("definition")?,
                job: row.try_get("job")?,
                watermark: row.try_get("watermark")?,
                paused: row.try_get("paused")?,
            })
        });
        Ok((now, found.collect::<Result<_, sqlx::Error>>()?))
    })
}

struct Step {
    queue: String,
    name: String,
    version: i64,
    from: i64,
    to: i64,
    batch: Batch,
}

type Stepped = (i32, Option<Vec<Option<Uuid>>>);

fn fire<'c>(
    args: &'c Step,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Stepped> {
    Box::pin(async move {
        let query = bind(sqlx::query(statements.fire.clone()), &args.batch);
        let query = query.bind(&args.queue).bind(&args.name).bind(args.version).bind(args.from).bind(args.to);
        let row = query.fetch_one(connection).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    })
}

struct Change {
    queue: String,
    name: String,
    change: i16,
    version: Option<i64>,
    watermark: Option<i64>,
}

fn change_one<'c>(
    args: &'c Change,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, bool> {
    let query = sqlx::query_scalar(statements.change_schedule.clone()).bind(&args.queue).bind(&args.name);
    Box::pin(query.bind(args.change).bind(args.version).bind(args.watermark).fetch_one(connection))
}
