//! From a claimed job to the future of its handler: opened, brought up to date, decoded, wrapped.

use super::execution::Ended;
use super::shared::Env;
use crate::backend::ClaimedJob;
use crate::context::JobContext;
use crate::middleware::JobFuture;
use crate::outcome::Action;
use crate::registry::Registration;
use crate::retry::{Backoff, FailureInfo, Jitter};
use crate::seeded_bug;
use bytes::Bytes;
use std::time::Duration;

/// When a job of a newer version is looked at again, by how often it has been claimed. Soon at first, for in a deployment
/// most workers are new already.
const NEWER: Backoff = Backoff::Exponential {
    base: Duration::from_secs(1),
    factor: 2,
    max: Duration::from_secs(300),
    jitter: Jitter::None,
};

/// The handler's future, or how the attempt ended without it. What it calls of the user's may panic.
pub(super) fn begin(
    env: &Env,
    handler: &Registration,
    job: &ClaimedJob,
    payload: Bytes,
    ctx: JobContext,
) -> Result<JobFuture, Ended> {
    if job.version > handler.spec().version && !seeded_bug!("newer_version_decoded") {
        return Err(newer(env, handler, job));
    }
    if env.layers.is_empty() {
        return handler.start(job.version, payload, ctx).map_err(Ended::Undecodable);
    }
    let payload = env.layers.open(&ctx, payload).map_err(|error| match error.action() {
        Action::Permanent => Ended::Undecodable(error.report()),
        _ => Ended::Returned(Err(error)),
    })?;
    let run = handler.start(job.version, payload, ctx.clone()).map_err(Ended::Undecodable)?;
    Ok(env.layers.run(&ctx, run))
}

/// Puts it off: what it means only newer code knows, and to bury it would be to lose it to a rollback.
fn newer(env: &Env, handler: &Registration, job: &ClaimedJob) -> Ended {
    let claims = u32::try_from(job.hold.claims).unwrap_or(u32::MAX);
    let bound = NEWER.bound(&FailureInfo::new(claims, ""));
    let after = env.chance.shorten(bound, 50);
    let (stored, known) = (job.version, handler.spec().version);
    tracing::warn!(stored, known, ?after, "the arguments are of a newer version: left to a newer worker");
    Ended::PutOff(after)
}
