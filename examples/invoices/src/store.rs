//! Where the invoices are: beside the jobs, in memory, in PostgreSQL or in Redis.

use crate::invoice::Invoice;
use crate::jobs::SendInvoice;
use crate::redis_store::RedisInvoices;
use anyhow::Context as _;
use sqlx::{PgPool, Row as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use steadfast::postgres::PostgresBackend;
use steadfast::{Client, IntoBackend as _, NewJob, Operate, QueueName, QueueStats};

/// Rows that are stored at once.
const CHUNK: usize = 100;

/// The invoices.
#[derive(Debug)]
pub(crate) struct Store {
    client: Client,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Mutex<BTreeMap<String, Invoice>>),
    Postgres { pool: PgPool, backend: PostgresBackend },
    Redis(RedisInvoices),
}

impl Store {
    /// The store at this URL, which is also that of the jobs.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (backend, place): (Arc<dyn Operate>, _) = match url.split(':').next() {
            Some("postgres" | "postgresql") => {
                let backend = PostgresBackend::connect(url).await?;
                let pool = PgPool::connect(url).await.context("cannot connect for the invoices")?;
                sqlx::raw_sql(include_str!("../sql/schema.sql")).execute(&pool).await?;
                (backend.clone().into_backend(), Place::Postgres { pool, backend })
            }
            Some("memory") => (steadfast::connect(url).await?, Place::Memory(Mutex::default())),
            _ => (steadfast::connect(url).await?, Place::Redis(RedisInvoices::connect(url).await?)),
        };
        Ok(Self { client: Client::new(backend), place })
    }

    /// Where the jobs are.
    pub(crate) fn backend(&self) -> Arc<dyn Operate> {
        Arc::clone(self.client.backend())
    }

    /// Stores invoices and a job for each that is new. Tells `progress` how many are done; returns how many were new.
    pub(crate) async fn import(
        &self,
        invoices: &[Invoice],
        mut progress: impl FnMut(usize),
    ) -> anyhow::Result<usize> {
        let (mut done, mut new) = (0, 0);
        for chunk in invoices.chunks(CHUNK) {
            new += match &self.place {
                Place::Memory(map) => self.import_to_memory(map, chunk).await?,
                Place::Postgres { pool, backend } => import_to_postgres(pool, backend, chunk).await?,
                Place::Redis(redis) => redis.import(&self.client, chunk).await?,
            };
            done += chunk.len();
            progress(done);
        }
        Ok(new)
    }

    async fn import_to_memory(
        &self,
        map: &Mutex<BTreeMap<String, Invoice>>,
        chunk: &[Invoice],
    ) -> anyhow::Result<usize> {
        let mut new = Vec::new();
        for invoice in chunk {
            lock(map).entry(invoice.number.clone()).or_insert_with(|| {
                new.push(SendInvoice::new(invoice.number.clone()));
                invoice.clone()
            });
        }
        Ok(self.client.enqueue_all(new).await?.len())
    }

    /// The invoice with this number.
    pub(crate) async fn get(&self, number: &str) -> anyhow::Result<Option<Invoice>> {
        let pool = match &self.place {
            Place::Memory(map) => return Ok(lock(map).get(number).cloned()),
            Place::Redis(redis) => return redis.get(number).await,
            Place::Postgres { pool, .. } => pool,
        };
        let row = sqlx::query(include_str!("../sql/one.sql")).bind(number).fetch_optional(pool).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Invoice {
            number: row.try_get(0)?,
            customer: row.try_get(1)?,
            email: row.try_get(2)?,
            cents: row.try_get(3)?,
            due: row.try_get(4)?,
            note: row.try_get(5)?,
        }))
    }

    /// All invoice numbers.
    pub(crate) async fn numbers(&self) -> anyhow::Result<Vec<String>> {
        match &self.place {
            Place::Memory(map) => Ok(lock(map).keys().cloned().collect()),
            Place::Redis(redis) => redis.numbers().await,
            Place::Postgres { pool, .. } => {
                Ok(sqlx::query_scalar(include_str!("../sql/numbers.sql")).fetch_all(pool).await?)
            }
        }
    }

    /// How many invoices there are.
    pub(crate) async fn count(&self) -> anyhow::Result<usize> {
        match &self.place {
            Place::Memory(map) => Ok(lock(map).len()),
            Place::Redis(redis) => redis.count().await,
            Place::Postgres { pool, .. } => {
                let count: i64 = sqlx::query_scalar(include_str!("../sql/count.sql")).fetch_one(pool).await?;
                Ok(usize::try_from(count)?)
            }
        }
    }

    /// The numbers of the jobs.
    pub(crate) async fn jobs(&self) -> anyhow::Result<QueueStats> {
        Ok(self.client.backend().stats(&QueueName::from_static("email")).await?)
    }
}

/// The invoices and their jobs in one transaction: none is stored without its job, and no job runs without its invoice.
async fn import_to_postgres(
    pool: &PgPool,
    backend: &PostgresBackend,
    chunk: &[Invoice],
) -> anyhow::Result<usize> {
    let mut tx = pool.begin().await?;
    let column = |field: fn(&Invoice) -> &String| chunk.iter().map(field).cloned().collect::<Vec<_>>();
    let new: Vec<String> = sqlx::query_scalar(include_str!("../sql/insert.sql"))
        .bind(column(|i| &i.number))
        .bind(column(|i| &i.customer))
        .bind(column(|i| &i.email))
        .bind(chunk.iter().map(|i| i.cents).collect::<Vec<_>>())
        .bind(column(|i| &i.due))
        .bind(column(|i| &i.note))
        .fetch_all(&mut *tx)
        .await?;
    let jobs: Vec<NewJob> =
        new.into_iter().map(|number| NewJob::of(&SendInvoice::new(number))).collect::<Result<_, _>>()?;
    backend.enqueue_tx(&mut tx, &jobs).await?;
    tx.commit().await?;
    Ok(jobs.len())
}

fn lock(map: &Mutex<BTreeMap<String, Invoice>>) -> MutexGuard<'_, BTreeMap<String, Invoice>> {
    map.lock().expect("no panic while it is held")
}
