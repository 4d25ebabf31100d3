//! Invoices in Redis. There is no transaction that spans them and their jobs, so it is done in steps that may be repeated: an
//! invoice is stored, its job is enqueued, and then the invoice is marked. Whoever imports next enqueues what has no mark.

use crate::invoice::Invoice;
use crate::jobs::SendInvoice;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client as Redis, pipe};
use std::time::Duration;
use steadfast::Client;

/// Number to invoice.
const INVOICES: &str = "invoices";
/// The numbers of those whose job has been enqueued.
const QUEUED: &str = "invoices:queued";

pub(crate) struct RedisInvoices(ConnectionManager);

impl std::fmt::Debug for RedisInvoices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisInvoices")
    }
}

impl RedisInvoices {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        // What stands behind the question mark is meant for the jobs.
        let address = url.split_once('?').map_or(url, |(address, _)| address);
        let config = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        Ok(Self(ConnectionManager::new_with_config(Redis::open(address)?, config).await?))
    }

    /// Returns how many were new.
    pub(crate) async fn import(&self, client: &Client, chunk: &[Invoice]) -> anyhow::Result<usize> {
        let mut redis = self.0.clone();
        let mut store = pipe();
        for invoice in chunk {
            store.hset_nx(INVOICES, &invoice.number, serde_json::to_vec(invoice)?);
        }
        let new: Vec<bool> = store.query_async(&mut redis).await?;
        let numbers: Vec<&str> = chunk.iter().map(|i| i.number.as_str()).collect();
        let queued: Vec<bool> = redis.smismember(QUEUED, &numbers).await?;
        let left: Vec<&str> = numbers.into_iter().zip(queued).filter(|(_, q)| !q).map(|(n, _)| n).collect();
        if !left.is_empty() {
            // Enqueued twice, by a process that died before the mark or by one beside us, the key makes it one job.
            client.enqueue_all(left.iter().map(|number| SendInvoice::new((*number).to_owned()))).await?;
            redis.sadd::<_, _, ()>(QUEUED, left).await?;
        }
        Ok(new.into_iter().filter(|new| *new).count())
    }

    pub(crate) async fn get(&self, number: &str) -> anyhow::Result<Option<Invoice>> {
        let found: Option<Vec<u8>> = self.0.clone().hget(INVOICES, number).await?;
        Ok(found.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    pub(crate) async fn numbers(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.0.clone().hkeys(INVOICES).await?)
    }

    pub(crate) async fn count(&self) -> anyhow::Result<usize> {
        Ok(self.0.clone().hlen(INVOICES).await?)
    }
}
