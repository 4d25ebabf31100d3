//! Limits and lines: what is declared and set, and what people see of them.

use crate::backend::Inner;
use crate::call::Reply;
use crate::enqueue::micros;
use crate::schema::Statements;
use job_core::{
    BackendError, Declared, Kind, LimitName, LimitRecord, LimitRule, LimitStep, LineRecord, NewJob,
    QueueName, Rate,
};
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// Deeper buckets than 126,000 years are never emptied.
const DEPTH_MAX: u64 = 4_000_000_000_000_000_000;

/// A rule as the migrations describe it. What follows from a rate is computed here, once.
fn write(rule: &LimitRule) -> String {
    let mut fields = Map::new();
    if let Some(concurrency) = rule.concurrency {
        fields.insert("concurrency".to_owned(), json!(concurrency));
    }
    if let Some(least) = rule.adaptive_min {
        fields.insert("adaptive_min".to_owned(), json!(least));
    }
    if let Some(rate) = &rule.rate {
        let interval = rate.interval_us();
        let depth = interval.saturating_mul(u64::from(rate.burst.max(1))).min(DEPTH_MAX);
        let numbers = [
            ("count", u64::from(rate.count)),
            ("per_us", u64::try_from(micros(rate.per)).unwrap_or(0)),
            ("burst", u64::from(rate.burst)),
            ("interval_us", interval),
            ("depth_us", depth),
        ];
        fields.extend(numbers.map(|(name, number)| (name.to_owned(), json!(number))));
    }
    Value::Object(fields).to_string()
}

/// A rule that somebody wrote by hand allows what can be read of it.
fn read(text: &str) -> LimitRule {
    let fields: Value = serde_json::from_str(text).unwrap_or_default();
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    let small = |name| number(name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let rate = || {
        let (count, per) = (small("count")?, Duration::from_micros(number("per_us")?));
        Some(Rate { count, per, burst: small("burst")? })
    };
    LimitRule { concurrency: small("concurrency"), rate: rate(), adaptive_min: small("adaptive_min") }
}

/// What is declared as columns.
#[derive(Debug)]
struct Columns {
    queue: String,
    names: Vec<String>,
    rules: Vec<Option<String>>,
    kinds: Vec<String>,
    limits: Vec<String>,
    lines: Vec<String>,
    ordered: Vec<bool>,
}

impl Columns {
    fn new(queue: &QueueName, declared: &Declared) -> Self {
        let limits = |names: &[LimitName]| {
            let mut names: Vec<_> = names.iter().map(LimitName::as_str).collect();
            names.sort_unstable();
            names.dedup();
            json!(names).to_string()
        };
        let kinds = &declared.kinds;
        Self {
            queue: queue.as_str().to_owned(),
            names: declared.limits.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
            rules: declared.limits.iter().map(|(_, rule)| rule.as_ref().map(write)).collect(),
            kinds: kinds.iter().map(|k| k.kind.as_str().to_owned()).collect(),
            limits: kinds.iter().map(|k| limits(&k.limits)).collect(),
            lines: kinds.iter().map(|k| write(&k.line)).collect(),
            ordered: kinds.iter().map(|k| k.ordered).collect(),
        }
    }
}

impl Inner {
    /// Tells claims of the queues of these jobs to look for lines.
    pub(crate) async fn open_lines(&self, jobs: &[&NewJob]) -> Result<(), BackendError> {
        for queue in self.lanes.without_lines(jobs) {
            self.calls.run("register", queue.as_str().to_owned(), open_lines).await?;
            self.lanes.learn_lines(queue);
        }
        Ok(())
    }

    pub(crate) async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.calls.run("declare", Columns::new(queue, declared), declare).await
    }

    pub(crate) async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.calls.run("close limit", (limit.as_str().to_owned(), micros(period)), close).await
    }

    pub(crate) async fn adapt_limit(
        &self,
        limit: &LimitName,
        step: LimitStep,
    ) -> Result<Option<u32>, BackendError> {
        let claimed = match step {
            LimitStep::Raise => None,
            LimitStep::Lower { claimed } => Some(micros(claimed)),
        };
        self.calls.run("adapt limit", (limit.as_str().to_owned(), claimed), adapt).await
    }

    pub(crate) async fn set_limit(
        &self,
        limit: &LimitName,
        rule: Option<LimitRule>,
    ) -> Result<(), BackendError> {
        let args = (limit.as_str().to_owned(), rule.as_ref().map(write));
        self.calls.run("set limit", args, set).await?;
        self.wake.bells.ring_all();
        Ok(())
    }

    pub(crate) async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError> {
        self.calls.run("open limit", limit.as_str().to_owned(), open).await?;
        self.wake.bells.ring_all();
        Ok(())
    }

    pub(crate) async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        self.calls.run("limits", (), limits).await
    }

    pub(crate) async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        let weight = i32::try_from(weight).unwrap_or(i32::MAX);
        let args = (queue.as_str().to_owned(), kind.as_str().to_owned(), key.to_owned(), weight);
        self.calls.run("set weight", args, set_weight).await
    }

    pub(crate) async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        let (kind, key) = after.map(|(kind, key)| (kind.as_str().to_owned(), key.to_owned())).unzip();
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        self.calls.run("lines", (queue.as_str().to_owned(), kind, key, limit), lines).await
    }
}

fn open_lines<'c>(
    queue: &'c String,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.open_lines.clone()).bind(queue).execute(connection).await?;
        Ok(())
    })
}

fn declare<'c>(
    c: &'c Columns,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        let query = sqlx::query(statements.declare.clone()).bind(&c.queue).bind(&c.names).bind(&c.rules);
        let query = query.bind(&c.kinds).bind(&c.limits).bind(&c.lines).bind(&c.ordered);
        query.execute(connection).await?;
        Ok(())
    })
}

fn close<'c>(
    (limit, period): &'c (String, i64),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.close_limit.clone()).bind(limit).bind(period).execute(connection).await?;
        Ok(())
    })
}

fn adapt<'c>(
    (limit, claimed): &'c (String, Option<i64>),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Option<u32>> {
    Box::pin(async move {
        let query = sqlx::query(statements.adapt_limit.clone()).bind(limit).bind(claimed);
        let now: Option<i64> = query.fetch_one(connection).await?.try_get(0)?;
        Ok(now.and_then(|n| u32::try_from(n).ok()))
    })
}

fn set<'c>(
    (limit, rule): &'c (String, Option<String>),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.set_limit.clone()).bind(limit).bind(rule).execute(connection).await?;
        Ok(())
    })
}

fn open<'c>(
    limit: &'c String,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.open_limit.clone()).bind(limit).execute(connection).await?;
        Ok(())
    })
}

fn limits<'c>(
    _: &'c (),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<LimitRecord>> {
    Box::pin(async move {
        let rows = sqlx::query(statements.limits.clone()).fetch_all(connection).await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            // A name that somebody wrote by hand limits nothing.
            let Ok(name) = LimitName::parse(&row.try_get::<String, _>("name")?) else { continue };
            let rule = |column| row.try_get::<Option<String>, _>(column).map(|r| r.as_deref().map(read));
            records.push(LimitRecord {
                name,
                declared: rule("by_code")?,
                set: rule("by_people")?,
                adapted: row.try_get::<Option<i64>, _>("adapted")?.and_then(|n| u32::try_from(n).ok()),
                in_use: u32::try_from(row.try_get::<i64, _>("in_use")?).unwrap_or(u32::MAX),
                closed_for: row
                    .try_get::<Option<i64>, _>("closed_us")?
                    .map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0))),
            });
        }
        Ok(records)
    })
}

fn set_weight<'c>(
    (queue, kind, key, weight): &'c (String, String, String, i32),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        let query = sqlx::query(statements.set_weight.clone()).bind(queue).bind(kind).bind(key).bind(weight);
        query.execute(connection).await?;
        Ok(())
    })
}

type LinesArgs = (String, Option<String>, Option<String>, i32);

fn lines<'c>(
    (queue, kind, key, limit): &'c LinesArgs,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<LineRecord>> {
    Box::pin(async move {
        let query = sqlx::query(statements.lines.clone()).bind(queue).bind(kind).bind(key).bind(limit);
        let rows = query.fetch_all(connection).await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(kind) = Kind::new(row.try_get::<String, _>("kind")?) else { continue };
            records.push(LineRecord {
                kind,
                key: row.try_get("key")?,
                waiting: u64::try_from(row.try_get::<i64, _>("waiting")?).unwrap_or(0),
                out: u32::try_from(row.try_get::<i64, _>("out")?).unwrap_or(u32::MAX),
                weight: u32::try_from(row.try_get::<i32, _>("weight")?).unwrap_or(1),
            });
        }
        Ok(records)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_were_written() {
        let rate = |count, per, burst| Some(Rate { count, per, burst });
        let rules = [
            LimitRule::default(),
            LimitRule { concurrency: Some(u32::MAX), adaptive_min: Some(1), rate: None },
            LimitRule {
                concurrency: Some(1),
                rate: rate(100, Duration::from_secs(1), 20),
                adaptive_min: None,
            },
            LimitRule { rate: rate(1, Rate::PER_MAX, u32::MAX), ..LimitRule::default() },
        ];
        for rule in rules {
            assert_eq!(read(&write(&rule)), rule);
        }
    }
}
