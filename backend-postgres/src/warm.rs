//! Connections that have just been used, the last one first. The pool asks a connection that comes back whether it is well, one round
//! trip for each call, and hands out the one that has rested longest; a call that came to its end has shown that it is well, and
//! its server process still has everything in its caches.

use job_core::seeded_bug;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What has rested for longer is the pool's to test.
const REST: Duration = Duration::from_secs(1);

/// How long a connection is kept from the pool, which ends those that have grown old.
const KEPT: Duration = Duration::from_secs(60);

/// A connection and since when it is kept.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) connection: PoolConnection<Postgres>,
    since: Instant,
}

/// A pool and what is kept from it.
#[derive(Debug)]
pub(crate) struct Connections {
    pool: PgPool,
    /// With when each was used last.
    idle: Mutex<Vec<(Warm, Instant)>>,
    /// Calls that wait for the pool: what comes back is theirs.
    waiting: AtomicUsize,
}

/// Counts one that waits, however its wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Connections {
    /// Outside of a runtime a connection cannot go back to the pool, which ends here anyway.
    fn drop(&mut self) {
        self.doubt();
    }
}

impl Connections {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, idle: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Warm, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, now: Instant) -> Option<Warm> {
        let mut idle = self.idle();
        let rested = idle.partition_point(|(_, used)| *used + REST <= now);
        let for_the_pool: Vec<_> = idle.drain(..rested).collect();
        let last = idle.pop();
        drop(idle);
        drop(for_the_pool);
        Some(last?.0)
    }

    pub(crate) async fn acquire(&self) -> Result<Warm, sqlx::Error> {
        if let Some(warm) = self.take(Instant::now()) {
            return Ok(warm);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        // One that came back before it was known that somebody waits.
        if let Some(warm) = self.take(Instant::now()) {
            return Ok(warm);
        }
        Ok(Warm { connection: self.pool.acquire().await?, since: Instant::now() })
    }

    /// A connection has failed, and whoever asks the others may wait for as long: they are closed.
    pub(crate) fn doubt(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for (warm, _) in idle {
            drop(warm.connection.detach());
        }
    }

    /// After a call that came to its end. All others are dropped, and tested by the pool.
    pub(crate) fn give_back(&self, warm: Warm) {
        let now = Instant::now();
        if now >= warm.since + KEPT {
            return;
        }
        self.idle().push((warm, now));
        if self.waiting.load(Ordering::SeqCst) > 0 && !seeded_bug!("postgres_waiters_forgotten") {
            let spare = self.idle().pop();
            drop(spare);
        }
    }
}
