//! Completion in a transaction of the application.

use crate::backend::PostgresBackend;
use crate::error::failed;
use crate::notes::Spot;
use job_core::{JobContext, JobError};
use sqlx::PgConnection;

impl PostgresBackend {
    /// Completes the job of this handler in the caller's transaction: what else the transaction does, the completion, and the
    /// jobs that the handler has announced with [`JobContext::then`] happen together or not at all. So the handler's
    /// changes of this database happen exactly once for each job that completes.
    ///
    /// Commit the transaction and return `Ok` from the handler. If the handler returns `Ok` and the transaction was not
    /// committed, the attempt has failed. Nothing else can complete or repeat the job while the transaction is open, so keep
    /// it short, and give the server an `idle_in_transaction_session_timeout` for workers that freeze in the middle of one.
    ///
    /// ```no_run
    /// # use backend_postgres::PostgresBackend;
    /// # use job_core::{JobContext, JobResult};
    /// # use sqlx::PgPool;
    /// # async fn handler(jobs: &PostgresBackend, pool: &PgPool, ctx: JobContext) -> JobResult {
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("update account set balance = balance - 10 where id = 7").execute(&mut *tx).await?;
    /// jobs.complete_tx(&mut tx, &ctx).await?;
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the job is no longer this handler's, or was completed before: roll the transaction back, its work belongs to
    /// another attempt. Any other error comes from the database and leaves the transaction failed.
    pub async fn complete_tx(&self, tx: &mut PgConnection, ctx: &JobContext) -> Result<(), JobError> {
        let ours = ctx.complete_elsewhere();
        let Some((spot, follow_ups)) =
            ours.and_then(|(hold, jobs)| Some((Spot::of(ctx.queue(), &hold)?, jobs)))
        else {
            return Err(JobError::permanent(
                "complete_tx needs the context of a job that runs on this store",
            ));
        };
        let answer: i32 = sqlx::query_scalar(self.calls().statements.complete_in.clone())
            .bind(&spot.queue)
            .bind(spot.job)
            .bind(spot.lane)
            .bind(spot.seq)
            .bind(spot.top)
            .bind(spot.lease)
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| failed("complete_tx", e))?;
        match answer {
            0 => {}
            1 => return Err(JobError::retry("the job was completed before")),
            _ => return Err(JobError::retry("the lease on this job has ended: it runs elsewhere")),
        }
        if !follow_ups.is_empty() {
            self.enqueue_tx(tx, &follow_ups).await?;
        }
        Ok(())
    }
}
