//! Which handler runs which kind.

use crate::context::JobContext;
use crate::job::{Job, JobSpec};
use crate::outcome::JobError;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A handler's future with its type erased.
pub(crate) type BoxedRun = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;
type Start = fn(Bytes, JobContext) -> Result<BoxedRun, String>;

/// One type of job for a runtime: its options and its handler. `jobs![send_invoice, …]` makes a list of them.
#[derive(Clone)]
pub struct Registration {
    spec: &'static JobSpec,
    start: Start,
}

impl Registration {
    /// The registration of `J`.
    #[must_use]
    pub fn of<J: Job>() -> Self {
        Self { spec: J::spec(), start: start::<J> }
    }

    /// The options.
    #[must_use]
    pub fn spec(&self) -> &'static JobSpec {
        self.spec
    }

    /// Decodes the arguments and makes the handler's future; the error says where the arguments do not fit.
    pub(crate) fn start(&self, payload: Bytes, ctx: JobContext) -> Result<BoxedRun, String> {
        (self.start)(payload, ctx)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.spec.kind).finish()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the function pointer owns what the job task gives it")]
fn start<J: Job>(payload: Bytes, ctx: JobContext) -> Result<BoxedRun, String> {
    // Keeping track of the path costs as much again as decoding, so that is done only for what does not fit.
    let job: J = match serde_json::from_slice(&payload) {
        Ok(job) => job,
        Err(_) => decode_with_path(&payload)?,
    };
    Ok(Box::pin(job.run(ctx)))
}

/// The arguments, or where and why they do not fit.
fn decode_with_path<J: Job>(payload: &[u8]) -> Result<J, String> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let job = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        if path == "." { e.inner().to_string() } else { format!("at `{path}`: {}", e.inner()) }
    })?;
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
