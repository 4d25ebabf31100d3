//! A watchdog over the application's runtime. It lives on the lease keepers' thread, and says so when handlers that never
//! wait keep every thread of the runtime busy: leases are extended meanwhile, but nothing else gets on.

use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// How often the runtime is asked to run a task.
const EVERY: Duration = Duration::from_millis(500);
/// A runtime that takes longer than this does not get on.
const LIMIT: Duration = Duration::from_secs(1);
/// One that takes longer than this may never get on again, so its end is not waited for.
const HOPELESS: Duration = Duration::from_secs(30);

/// Watches until the runtime ends.
pub(crate) async fn watch(runtime: Handle) {
    loop {
        sleep(EVERY).await;
        let posted = Instant::now();
        let mut probe = runtime.spawn(async { Instant::now() });
        let ran = match timeout(HOPELESS, &mut probe).await {
            Ok(ran) => ran,
            Err(_) => {
                tracing::error!(
                    stalled_for = ?posted.elapsed(),
                    "the tokio runtime still runs no task: handlers that never wait keep its threads"
                );
                probe.await
            }
        };
        let Ok(ran) = ran else { return };
        let stalled_for = ran.duration_since(posted);
        if stalled_for > LIMIT {
            tracing::warn!(
                ?stalled_for,
                "the tokio runtime ran no task: a handler that never waits keeps a thread of it; use `blocking`"
            );
        }
    }
}
