//! PostgreSQL.

use crate::args::Args;
use crate::drain;
use crate::report::{Rounds, Table};
use anyhow::{Context as _, Result};
use job_conformance::servers::PostgresServer;
use sqlx::{Connection as _, PgConnection};
use steadfast::LeaseId;

/// Who enqueues one job at a time.
const PRODUCERS: usize = 16;

/// Measures a PostgreSQL.
///
/// # Errors
/// If the runtime or the store fails.
pub async fn measure(args: &Args) -> Result<()> {
    // A server that has been running for a while reuses its log files; a new one has to make each of them first.
    let given = args.url_of(&["postgres", "postgresql"]);
    let private = given.is_none().then(|| PostgresServer::options().setting("min_wal_size", "1GB").start());
    let server = given.map(str::to_owned).or_else(|| private.as_ref().map(PostgresServer::url));
    let server = server.context("no server")?;
    let jobs = args.jobs.unwrap_or(200_000);
    let singles = jobs.div_ceil(10);
    let mut wal = Wal::connect(&server).await?;
    let separator = if server.contains('?') { '&' } else { '?' };
    let schema = format!("bench_{}", LeaseId::random().as_uuid().simple());
    let backend = steadfast::connect(&format!("{server}{separator}schema={schema}&pool=20")).await?;
    let mut rounds = Rounds::default();
    for round in 0..=args.rounds {
        let start = wal.position().await?;
        let enqueue = drain::enqueue(&backend, jobs, args).await?;
        let enqueued = wal.position().await?;
        let drained = drain::drain(&backend, jobs, args).await?;
        let end = wal.position().await?;
        drain::enqueue(&backend, jobs, args).await?;
        let bare_loop = drain::bare_loop(&backend, jobs).await?;
        let singly = drain::enqueue_singly(&backend, PRODUCERS, singles, args).await?;
        drain::bare_loop(&backend, singles.next_multiple_of(PRODUCERS)).await?;
        if round == 0 && private.is_some() {
            wal.checkpoint().await?;
        }
        if round > 0 {
            let (in_bytes, out_bytes) = (per(enqueued - start, jobs), per(end - enqueued, jobs));
            rounds.push([enqueue, singly, drained, bare_loop, in_bytes, out_bytes]);
        }
    }
    let [enqueue, singly, drained, bare_loop, in_bytes, out_bytes] = rounds.medians();
    let mut table = Table::default();
    table.rate("enqueue", enqueue, format!("one producer, {} a call", args.batch));
    table.rate("enqueue singly", singly, format!("{PRODUCERS} producers, one a call"));
    table.rate("claim + run + settle", drained, format!("the whole runtime, {} at once", args.concurrency));
    let remark = format!("ceiling: settle and claim in a loop; ratio {:.2}", drained / bare_loop);
    table.rate("the same without a runtime", bare_loop, remark);
    let remark = format!("enqueue {in_bytes:.0}, claim and settle {out_bytes:.0}");
    table.number("write-ahead log per job", in_bytes + out_bytes, "bytes", remark);
    let durability = backend.info().durability;
    table.print(&format!(
        "PostgreSQL ({durability:?}): {jobs} jobs with {} bytes, median of {}",
        args.payload, args.rounds
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn per(bytes: i64, jobs: usize) -> f64 {
    bytes as f64 / jobs as f64
}

/// Reads how much the server has written to its log.
struct Wal(PgConnection);

impl Wal {
    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(PgConnection::connect(url).await?))
    }

    async fn checkpoint(&mut self) -> Result<()> {
        sqlx::query(include_str!("../sql/checkpoint.sql")).execute(&mut self.0).await?;
        Ok(())
    }

    async fn position(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar(include_str!("../sql/wal_position.sql")).fetch_one(&mut self.0).await?)
    }
}
