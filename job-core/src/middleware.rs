//! Hooks around what the client stores and what the runtime runs.

use crate::context::JobContext;
use crate::error::EnqueueError;
use crate::new_job::NewJob;
use crate::outcome::JobError;
use crate::runtime::panic_text;
use crate::seeded_bug;
use crate::verdict::Verdict;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A handler on its way: what [`Middleware::run`] wraps.
pub type JobFuture = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;

/// Something to be done for every job: trace context, metrics, the tenant of a handler, encryption. Given to
/// [`Client::middleware`](crate::Client::middleware) and [`RuntimeBuilder::middleware`](crate::RuntimeBuilder::middleware);
/// the clients of a runtime have its middleware too. Every method has a default that does nothing.
///
/// Several are layers: at an enqueue and around a handler the first one comes first, and payloads are opened in the
/// opposite order. So tracing goes first, and what changes payloads last.
///
/// A panic in one harms nobody. At an enqueue the job is refused and nothing is stored; in `open` and `run` it is a
/// failure of the attempt, as in the handler; in `ended` the verdict stands.
///
/// ```
/// use job_core::{EnqueueError, JobContext, JobFuture, Middleware, NewJob};
///
/// tokio::task_local!(static TENANT: String);
///
/// /// The tenant of whoever enqueues is the tenant of the handler.
/// struct Tenant;
///
/// impl Middleware for Tenant {
///     fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
///         let tenant = TENANT.try_with(Clone::clone).map_err(|_| EnqueueError::rejected("which tenant?"))?;
///         job.headers.insert("tenant".into(), tenant);
///         Ok(())
///     }
///
///     fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
///         let tenant = ctx.headers().get("tenant").cloned().unwrap_or_default();
///         Box::pin(TENANT.scope(tenant, handler))
///     }
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Before a job is stored: may change its headers and payload, or refuse it. The limits of the client have been
    /// checked; the payload may become larger than they allow, the headers not.
    ///
    /// Leave the id as it is: with another one a repeated call would store a second job. A job that was
    /// [prepared](crate::EnqueueJob::prepare) and is then given to a client comes here twice. What has to be waited for,
    /// such as a key from another server, belongs before the runtime is built: this is called on the way, and must be quick.
    ///
    /// # Errors
    /// [`EnqueueError::rejected`] with the reason: then nothing is stored, nor any other job of the same call.
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        let _ = job;
        Ok(())
    }

    /// Before the arguments are decoded: from the payload as it is stored to what `enqueue` was given. Must be quick.
    ///
    /// # Errors
    /// A [permanent](JobError::permanent) error says that they can never be read: the job is dead as `undecodable`, and
    /// can be replayed. Any other error means what it would mean from a handler.
    fn open(&self, ctx: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        let _ = ctx;
        Ok(payload)
    }

    /// Around the handler, inside its timeout. `handler` is to be awaited to its end or dropped; its result may be
    /// changed on the way. If it panics, times out or is dropped, this future goes with it.
    fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        let _ = ctx;
        handler
    }

    /// After an attempt, however it ended: timeouts, panics, arguments that cannot be read, jobs that are given back. `took`
    /// is the time since the attempt began. The store has not seen the verdict yet, and refuses it if the lease was lost.
    fn ended(&self, ctx: &JobContext, verdict: &Verdict, took: Duration) {
        let _ = (ctx, verdict, took);
    }

    /// What error texts and logs call it: the name of its type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// One middleware may be shared, by a client and a runtime for example.
impl<M: Middleware + ?Sized> Middleware for Arc<M> {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        (**self).enqueue(job)
    }
    fn open(&self, ctx: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        (**self).open(ctx, payload)
    }
    fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        (**self).run(ctx, handler)
    }
    fn ended(&self, ctx: &JobContext, verdict: &Verdict, took: Duration) {
        (**self).ended(ctx, verdict, took);
    }
    fn name(&self) -> &'static str {
        (**self).name()
    }
}

/// The layers of a client or runtime, outermost first.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Arc<dyn Middleware>>);

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layers({})", self.0.len())
    }
}

impl Layers {
    pub(crate) fn push(&mut self, layer: impl Middleware) {
        self.0.push(Arc::new(layer));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The job as it is to be stored.
    pub(crate) fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        job.note_due();
        for layer in &self.0 {
            catch_unwind(AssertUnwindSafe(|| layer.enqueue(job))).unwrap_or_else(|panic| {
                let (name, text) = (name(&**layer), panic_text(&*panic));
                Err(EnqueueError::rejected(format!("the middleware {name} {text}")))
            })?;
        }
        // What it added to the payload is no business of the user's.
        if self.is_empty() { Ok(()) } else { job.check(usize::MAX) }
    }

    /// The payload as `enqueue` was given it. May panic.
    pub(crate) fn open(&self, ctx: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        self.0.iter().rev().try_fold(payload, |payload, layer| layer.open(ctx, payload))
    }

    /// The handler with everything around it. May panic.
    pub(crate) fn run(&self, ctx: &JobContext, handler: JobFuture) -> JobFuture {
        self.0.iter().rev().fold(handler, |handler, layer| layer.run(ctx, handler))
    }

    /// What is to be told of an attempt that begins now; nothing if nobody listens.
    pub(crate) fn attempt(&self, ctx: &JobContext) -> Option<Attempt<'_>> {
        if self.is_empty() {
            return None;
        }
        Some(Attempt { layers: self, ctx: ctx.clone(), began: Instant::now() })
    }
}

/// The name, which may be user code too.
fn name(layer: &dyn Middleware) -> &'static str {
    catch_unwind(AssertUnwindSafe(|| layer.name())).unwrap_or("(its name panics)")
}

/// An attempt whose end is to be told.
pub(crate) struct Attempt<'a> {
    layers: &'a Layers,
    ctx: JobContext,
    began: Instant,
}

impl Attempt<'_> {
    /// Tells every layer, innermost first.
    pub(crate) fn ended(self, verdict: &Verdict) {
        let took = self.began.elapsed();
        for layer in self.layers.0.iter().rev() {
            if seeded_bug!("middleware_panic_loses_verdict") {
                layer.ended(&self.ctx, verdict, took);
                continue;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| layer.ended(&self.ctx, verdict, took))) {
                let (middleware, text) = (name(&**layer), panic_text(&*panic));
                tracing::error!(middleware, error = %text, "a middleware failed; the verdict of the job stands");
            }
        }
    }
}

#[cfg(test)]
#[path = "middleware_tests.rs"]
mod tests;
