//! Waiting for a server that was ended.

use job_core::BackendError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Tries until the server answers again; every error on the way says that it is worth trying.
///
/// # Panics
/// If one does not, or if it takes longer than `patience`.
pub async fn when_back<T>(patience: Duration, mut call: impl AsyncFnMut() -> Result<T, BackendError>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                assert!(Instant::now() < deadline, "the server did not come back: {error}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
