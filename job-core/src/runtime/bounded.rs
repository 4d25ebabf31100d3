//! Calls of the store that are not waited for longer than a time.

use crate::error::{BackendError, Effect, ErrorKind};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The answer, or an error of an unknown outcome after `limit`.
pub(crate) async fn bounded<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(timed_out(operation)))
}

/// The same until an instant.
pub(super) async fn bounded_by<T>(
    by: Instant,
    operation: &'static str,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout_at(by, call).await.unwrap_or_else(|_| Err(timed_out(operation)))
}

fn timed_out(operation: &'static str) -> BackendError {
    BackendError::new("store", operation, ErrorKind::Transient, Effect::Unknown, "no answer in time")
}
