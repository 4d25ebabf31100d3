//! The first connection: migrations, and what the server promises.

use crate::error::{failed, not_sent, refused};
use crate::options::Options;
use crate::schema::{MIGRATIONS, Schema, Statements};
use job_core::{BackendError, DurabilityClass, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use std::time::Duration;

/// A connection that was idle for longer is tested before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// A connection that does not answer for so long is closed.
const PING: Duration = Duration::from_secs(2);

/// The lowest version with 64-bit transaction ids in SQL.
const VERSION_MIN: i32 = 130_000;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) durability: DurabilityClass,
    pub(crate) connect: PgConnectOptions,
}

/// Migrates and looks at the settings. Runs to its end in a task of its own, whatever the caller does.
pub(crate) async fn prepare(options: Options) -> Result<Server, BackendError> {
    const OPERATION: &str = "connect";
    let task = tokio::spawn(async move {
        let mut connection =
            PgConnection::connect_with(&options.connect).await.map_err(|e| not_sent(OPERATION, e))?;
        let statements = Statements::new(&options.schema);
        let server = inspect(&mut connection, &statements, options.connect).await?;
        migrate(&mut connection, &options.schema, &statements).await?;
        let _ = connection.close().await;
        Ok(server)
    });
    let stopped = |_| Err(refused(OPERATION, ErrorKind::Transient, "stopped with its runtime"));
    task.await.unwrap_or_else(stopped)
}

async fn inspect(
    connection: &mut PgConnection,
    statements: &Statements,
    mut connect: PgConnectOptions,
) -> Result<Server, BackendError> {
    let (version, fsync, commit, standbys, isolation): (i32, bool, String, bool, String) =
        sqlx::query_as(statements.settings.clone())
            .fetch_one(connection)
            .await
            .map_err(|e| failed("connect", e))?;
    if version < VERSION_MIN {
        let text = format!("PostgreSQL {} is too old: 13 or newer is needed", version / 10_000);
        return Err(refused("connect", ErrorKind::Permanent, text));
    }
    if isolation != "read committed" {
        // A role's default; our statements need snapshots that are newer than the locks they wait for.
        connect = connect.options([("default_transaction_isolation", "read committed")]);
    }
    let durability = match (fsync, commit.as_str()) {
        (_, "off") => DurabilityClass::Volatile,
        (false, _) => DurabilityClass::ProcessCrash,
        (true, "local") => DurabilityClass::LocalDisk,
        (true, _) if standbys => DurabilityClass::SyncReplicated,
        (true, _) => DurabilityClass::LocalDisk,
    };
    if durability < DurabilityClass::LocalDisk {
        tracing::warn!(
            fsync,
            synchronous_commit = commit,
            "this server can lose acknowledged jobs in a crash"
        );
    }
    Ok(Server { durability, connect })
}

/// Brings the schema to the newest version; any number of processes may do so at once.
async fn migrate(
    connection: &mut PgConnection,
    schema: &Schema,
    statements: &Statements,
) -> Result<(), BackendError> {
    let wrap = |e| failed("migrate", e);
    if applied(connection, statements).await.map_err(wrap)? == Some(MIGRATIONS.len()) {
        return Ok(());
    }
    let mut tx = connection.begin().await.map_err(wrap)?;
    sqlx::raw_sql(statements.prepare_schema.clone()).execute(&mut *tx).await.map_err(wrap)?;
    let done = applied(&mut tx, statements).await.map_err(wrap)?.unwrap_or(0);
    if done > MIGRATIONS.len() {
        let text = format!(
            "schema {} has version {done}, this program knows {}: a newer version of Steadfast uses it; upgrade this one",
            schema.as_str(),
            MIGRATIONS.len(),
        );
        return Err(refused("migrate", ErrorKind::Permanent, text));
    }
    for (number, migration) in (1_i32..).zip(MIGRATIONS).skip(done) {
        sqlx::raw_sql(schema.sql(migration)).execute(&mut *tx).await.map_err(wrap)?;
        sqlx::query(statements.note_migration.clone()).bind(number).execute(&mut *tx).await.map_err(wrap)?;
    }
    tx.commit().await.map_err(wrap)
}

/// The newest migration, if there is a table of them.
async fn applied(
    connection: &mut PgConnection,
    statements: &Statements,
) -> Result<Option<usize>, sqlx::Error> {
    if !sqlx::query_scalar::<_, bool>(statements.has_migrations.clone()).fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    let version: Option<i32> = sqlx::query_scalar(statements.version.clone()).fetch_one(connection).await?;
    Ok(Some(version.map_or(0, |v| usize::try_from(v).unwrap_or(0))))
}

/// `patience` is how long a call waits for a free connection.
pub(crate) fn pool(connect: PgConnectOptions, size: u32, patience: Duration) -> PgPool {
    let port = connect.get_port();
    PgPoolOptions::new()
        .max_connections(size)
        .after_connect(move |_, _| {
            Box::pin(async move {
                without_delay(port);
                Ok(())
            })
        })
        .acquire_timeout(patience)
        .test_before_acquire(false)
        // What comes back is asked by sqlx whether it is well, for as long as that takes.
        .after_release(|connection, _| {
            Box::pin(async move {
                match tokio::time::timeout(PING, connection.ping()).await {
                    Ok(pong) => pong.map(|()| true),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(connect)
}

#[cfg(target_os = "linux")]
fn without_delay(port: u16) {
    crate::nodelay::set(port);
}

#[cfg(not(target_os = "linux"))]
fn without_delay(_port: u16) {}
