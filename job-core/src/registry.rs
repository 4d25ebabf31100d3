//! Which handler runs which kind.

use crate::context::JobContext;
use crate::error::EnqueueError;
use crate::job::{Job, JobSpec, Upgrade};
use crate::middleware::JobFuture;
use crate::new_job::NewJob;
use crate::{sealed, seeded_bug};
use bytes::Bytes;
use std::fmt;

type Scheduled = fn() -> Result<NewJob, EnqueueError>;
type Start = fn(Bytes, JobContext) -> Result<JobFuture, String>;

/// One type of job for a runtime: its options and its handler. `jobs![send_invoice, …]` makes a list of them.
#[derive(Clone)]
pub struct Registration {
    spec: &'static JobSpec,
    start: Start,
    scheduled: Scheduled,
}

impl Registration {
    /// The registration of `J`.
    #[must_use]
    pub fn of<J: Job>() -> Self {
        Self { spec: J::spec(), start: start::<J>, scheduled: scheduled::<J> }
    }

    /// The options.
    #[must_use]
    pub fn spec(&self) -> &'static JobSpec {
        self.spec
    }

    /// The job that a schedule of its type enqueues: one without arguments.
    pub(crate) fn scheduled(&self) -> Result<NewJob, EnqueueError> {
        (self.scheduled)()
    }

    /// Decodes arguments of this version or an older one and makes the handler's future; the error says where the arguments
    /// do not fit.
    pub(crate) fn start(&self, version: u32, payload: Bytes, ctx: JobContext) -> Result<JobFuture, String> {
        match self.spec.upgrade {
            Some(upgrade) if version < self.spec.version && !seeded_bug!("upgrade_skipped") => {
                (self.start)(upgraded(version, &payload, upgrade)?, ctx)
            }
            _ => (self.start)(payload, ctx),
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.spec.kind).finish()
    }
}

fn scheduled<J: Job>() -> Result<NewJob, EnqueueError> {
    let job: J = serde_json::from_str("{}").map_err(|e| {
        EnqueueError::rejected(format!(
            "a job with a schedule has no arguments, but {} needs some: {e}",
            J::spec().kind
        ))
    })?;
    NewJob::of(&job)
}

fn upgraded(version: u32, payload: &[u8], upgrade: Upgrade) -> Result<Bytes, String> {
    let failed = |text: String| format!("the arguments are of version {version}: {text}");
    let args = serde_json::from_slice(payload).map_err(|e| unreadable(payload).unwrap_or(e.to_string()))?;
    let args = upgrade(version, args).map_err(failed)?;
    serde_json::to_vec(&args).map(Bytes::from).map_err(|e| failed(e.to_string()))
}

/// What is to be said of a payload that no decoder can read.
fn unreadable(payload: &[u8]) -> Option<String> {
    let key = sealed::parse(payload)?.key;
    Some(format!(
        "the arguments are encrypted with the key {key:?}, and this runtime has no keyring: give it one \
         (`.middleware(Encryption::new(..))`, feature `encryption`), then replay the job"
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "the function pointer owns what the job task gives it")]
fn start<J: Job>(payload: Bytes, ctx: JobContext) -> Result<JobFuture, String> {
    // Keeping track of the path costs as much again as decoding, so that is done only for what does not fit.
    let job: J = match serde_json::from_slice(&payload) {
        Ok(job) => job,
        Err(_) => decode_with_path(&payload)?,
    };
    Ok(Box::pin(job.run(ctx)))
}

/// The arguments, or where and why they do not fit.
fn decode_with_path<J: Job>(payload: &[u8]) -> Result<J, String> {
    if let Some(text) = unreadable(payload) {
        return Err(text);
    }
    let mut json = serde_json::Deserializer::from_slice(payload);
    let job = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| J::spec().misfit(&e.path().to_string(), e.inner()))?;
    json.end().map_err(|e| e.to_string())?;
    Ok(job)
}

/// The list of jobs that a runtime can run: the names of functions with `#[job]`, or of types that implement
/// [`Job`](crate::Job).
///
/// ```ignore
/// Runtime::builder().jobs(jobs![send_invoice, billing::charge])
/// ```
#[macro_export]
macro_rules! jobs {
    ($($job:path),* $(,)?) => {{
        // With `#[job]` a type alias stands beside the function under the same name.
        let list: ::std::vec::Vec<$crate::Registration> = ::std::vec![$($crate::Registration::of::<$job>()),*];
        list
    }};
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
