//! What an application does in a transaction of its own: enqueue, and complete.

use crate::backend::{BATCH_MAX, PostgresBackend};
use crate::enqueue::{Batch, answers, distinct, enqueue_within, explain, in_transaction, queues};
use crate::error::failed;
use crate::notes::Spot;
use job_core::{EnqueueError, Enqueued, Job, JobContext, JobError, NewJob};
use sqlx::PgConnection;

impl PostgresBackend {
    /// Enqueues in the caller's transaction: the jobs exist if, and only if, it commits. Give it the connection of any
    /// transaction on the same database (`&mut tx` of sqlx).
    ///
    /// # Errors
    /// [`EnqueueError::Rejected`] before anything is sent if a job breaks a limit. Any other error comes from the
    /// database and leaves the transaction failed, as every error of a statement does: roll it back. (The `commit` of
    /// sqlx answers `Ok` for a failed transaction, although the server rolls it back.) Whether the jobs exist is decided
    /// by the commit alone.
    pub async fn enqueue_tx(
        &self,
        tx: &mut PgConnection,
        jobs: &[NewJob],
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        for job in jobs {
            job.check(NewJob::PAYLOAD_BYTES_MAX)?;
        }
        let to_enqueue = |e| EnqueueError::from_backend(e, jobs.iter().map(|j| j.id));
        let mut all = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(BATCH_MAX) {
            let unique = distinct(part);
            // Outside of the caller's transaction, so that nobody waits for it to end.
            let lanes = self.inner().lanes_of(&unique).await.map_err(to_enqueue)?;
            let mut batch = Batch::new(&unique, lanes).map_err(to_enqueue)?;
            batch.own = false;
            batch.channel = self.inner().wake.channel().to_owned();
            batch.notify = self.inner().wake.always(&queues(&unique));
            let holders = enqueue_within(&batch, &self.inner().calls.statements, tx)
                .await
                .map_err(|e| to_enqueue(explain(in_transaction(e), &unique)))?;
            all.extend(answers(part, &unique, holders));
        }
        Ok(all)
    }

    /// [`enqueue_tx`](Self::enqueue_tx) for one typed job.
    ///
    /// # Errors
    /// As `enqueue_tx`.
    pub async fn enqueue_job_tx<J: Job>(
        &self,
        tx: &mut PgConnection,
        job: J,
    ) -> Result<Enqueued, EnqueueError> {
        let new = NewJob::of(&job)?;
        Ok(self.enqueue_tx(tx, std::slice::from_ref(&new)).await?[0])
    }

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
    /// # async fn pay(_: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> { Ok(()) }
    /// # async fn handler(jobs: &PostgresBackend, pool: &PgPool, ctx: JobContext) -> JobResult {
    /// let mut tx = pool.begin().await?;
    /// pay(&mut tx).await?; // whatever the application has to write
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
        let query = spot.bind(sqlx::query_scalar(self.calls().statements.complete_in.clone()));
        let answer: i32 = query.fetch_one(&mut *tx).await.map_err(|e| failed("complete_tx", e))?;
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
