//! Waiting until nothing of a queue runs.

use crate::error::BackendError;
use crate::listing::ListFilter;
use crate::operate::{JobState, Operate};
use crate::{Kind, QueueName, seeded_bug};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often the store is asked.
const PACE: Duration = Duration::from_millis(200);

pub(crate) async fn drain<B: Operate + ?Sized>(
    backend: &B,
    queue: &QueueName,
    kind: Option<&Kind>,
    within: Duration,
) -> Result<bool, BackendError> {
    let deadline = Instant::now() + within;
    match kind {
        Some(kind) => backend.pause_kind(queue, kind).await?,
        None => backend.pause(queue).await?,
    }
    let running =
        ListFilter { kind: kind.cloned(), limit: 1, ..ListFilter::new(queue.clone(), JobState::Running) };
    loop {
        if backend.list(&running).await?.jobs.is_empty() || seeded_bug!("drain_does_not_wait") {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        sleep_until(deadline.min(now + PACE)).await;
    }
}
