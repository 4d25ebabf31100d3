//! The PostgreSQL backend of Steadfast: a ready log with leases over it.
//!
//! A ready job is one immutable row. A claim inserts one lease row for all its jobs, a completion deletes theirs; no row
//! is updated, so throughput stays flat while old snapshots are held. `ARCHITECTURE.md` tells how claims find their
//! place.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use backend_postgres::PostgresBackend;
//! use job_core::{Kind, NewJob, QueueName};
//!
//! let backend = PostgresBackend::connect("postgres://app@localhost/app?schema=jobs").await?;
//! # let pool: sqlx::PgPool = unimplemented!();
//! let mut tx = pool.begin().await?;
//! // … your own statements …
//! let job = NewJob::new(Kind::new("welcome")?, QueueName::new("email")?, "{}");
//! backend.enqueue_tx(&mut tx, &[job]).await?;
//! tx.commit().await?; // now, and only now, there is a job
//! # Ok(())
//! # }
//! ```
//!
//! # URL
//! `postgres://user:password@host:port/database`, with the driver's parameters (`sslmode`, `sslrootcert`, `sslcert`,
//! `sslkey`, `application_name`, `options`, …; a socket as `?host=/run/postgresql`) and ours:
//!
//! | parameter | default | meaning |
//! |---|---|---|
//! | `schema` | `steadfast` | where the tables are; made if it is missing |
//! | `listen` | `true` | `false`: no LISTEN/NOTIFY, polling alone (pgbouncer in transaction mode) |
//! | `pool` | `10` | the most connections for claims, verdicts and enqueues; two or three more extend leases and listen |

mod alerts;
mod backend;
mod batches;
mod call;
mod chores;
mod claim;
mod connect;
mod enqueue;
mod error;
mod floor;
mod limits;
mod maintain;
#[cfg(target_os = "linux")]
mod nodelay;
mod notes;
mod operate;
mod operations;
mod options;
mod schedules;
mod schema;
#[cfg(feature = "faults")]
#[doc(hidden)]
pub mod seeded_bugs;
mod settle;
mod transaction;
mod wake;
mod warm;

pub use backend::PostgresBackend;
