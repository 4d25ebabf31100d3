//! Extensions and maintenance: the calls.

use crate::call::Reply;
use crate::floor::Seen;
use crate::schema::Statements;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

pub(crate) type ExtendRow = (Option<Vec<Uuid>>, Option<Vec<Uuid>>);

pub(crate) fn extend<'c>(
    args: &'c (String, Vec<Uuid>, i64),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ExtendRow> {
    let query = sqlx::query_as(statements.extend.clone()).bind(&args.0).bind(&args.1).bind(args.2);
    Box::pin(query.fetch_one(connection))
}

/// How many were promoted, whether more are due, in how many microseconds the next one is, and what was seen.
pub(crate) type Promoted = (i64, bool, Option<i64>, Seen);

pub(crate) fn promote<'c>(
    args: &'c (String, i32, Option<i64>),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Promoted> {
    Box::pin(async move {
        let query = sqlx::query(statements.promote.clone()).bind(&args.0).bind(args.1).bind(args.2);
        let row = query.fetch_one(connection).await?;
        let seen = Seen {
            at: row.try_get("at")?,
            xid: row.try_get("xid")?,
            running: row.try_get("running")?,
            ahead: row.try_get("ahead")?,
            next_run: row.try_get("next_run")?,
        };
        Ok((row.try_get("promoted")?, row.try_get("more")?, row.try_get("next_due")?, seen))
    })
}

pub(crate) fn reap<'c>(
    args: &'c (String, i32, i32),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, (i64, i64, i64, bool)> {
    let query = sqlx::query_as(statements.reap.clone()).bind(&args.0).bind(args.1).bind(args.2);
    Box::pin(query.fetch_one(connection))
}

pub(crate) fn prune<'c>(
    args: &'c (String, i32),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, i64> {
    Box::pin(async move {
        let query = sqlx::query(statements.prune_limits.clone()).bind(&args.0).bind(args.1);
        query.execute(&mut *connection).await?;
        let query = sqlx::query_scalar(statements.prune.clone()).bind(&args.0).bind(args.1);
        query.fetch_one(connection).await
    })
}

pub(crate) fn prune_dead<'c>(
    args: &'c (String, i64, i32),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, i64> {
    let query = sqlx::query_scalar(statements.prune_dead.clone()).bind(&args.0).bind(args.1).bind(args.2);
    Box::pin(query.fetch_one(connection))
}

pub(crate) fn audit<'c>(
    args: &'c String,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, i64> {
    Box::pin(sqlx::query_scalar(statements.audit.clone()).bind(args).fetch_one(connection))
}
