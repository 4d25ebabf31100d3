//! What comes with the verdict that a job is dead.

use super::execution::panic_text;
use super::shared::QueueShared;
use crate::backend::ClaimedJob;
use crate::dead_letter::{DeadJob, DeadLetter};
use crate::error::EnqueueError;
use crate::job::JobSpec;
use crate::new_job::NewJob;
use crate::seeded_bug;
use crate::verdict::{DeadReason, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The verdict as the job's type wants it, and the jobs that come with it.
pub(super) fn bury(
    queue: &QueueShared,
    spec: &JobSpec,
    job: &ClaimedJob,
    verdict: Verdict,
) -> (Verdict, Vec<NewJob>) {
    use DeadReason::{Exhausted, Expired, Permanent};
    let Verdict::Dead { reason: reason @ (Exhausted | Permanent | Expired), error } = &verdict else {
        return (verdict, Vec::new());
    };
    match spec.dead_letter {
        DeadLetter::Keep => (verdict, Vec::new()),
        DeadLetter::Discard => {
            tracing::error!(error = %error.as_str(), "the dead job is discarded, as its type says");
            (Verdict::Cancel, Vec::new())
        }
        DeadLetter::Then(_) if seeded_bug!("nothing_after_death") => (verdict, Vec::new()),
        DeadLetter::Then(make) => {
            let dead =
                DeadJob::new(job.hold.job, &job.kind, &queue.name, job.attempt, *reason, error.as_str());
            match made(queue, job, make, dead) {
                Ok(next) => (verdict, vec![next]),
                Err(error) => {
                    tracing::error!(%error, "the job is dead, and the one that was to follow cannot be enqueued");
                    (verdict, Vec::new())
                }
            }
        }
    }
}

fn made(
    queue: &QueueShared,
    job: &ClaimedJob,
    make: fn(DeadJob) -> Result<NewJob, EnqueueError>,
    dead: DeadJob,
) -> Result<NewJob, EnqueueError> {
    // What makes it is user code.
    let next = catch_unwind(AssertUnwindSafe(|| make(dead)));
    let mut next = next.map_err(|panic| EnqueueError::rejected(panic_text(&*panic)))??;
    next.follow(job.hold.job, Some(&queue.env.layers))?;
    Ok(next)
}
