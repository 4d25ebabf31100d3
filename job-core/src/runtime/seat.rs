//! One actor of a kind for each queue, whatever became of the supervisor that started it.

use ractor::ActorProcessingErr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

/// How long one that was killed may take to be gone: it ends at its next await.
const TO_GO: Duration = Duration::from_secs(1);

/// Taken by an actor when it starts and kept in its state. When a supervisor dies, its children are killed but nobody
/// waits for them; whoever is started in their place waits here.
#[derive(Debug, Default)]
pub(crate) struct Seat(Arc<Mutex<()>>);

/// Free again when it is dropped, which an actor's state is however the actor ends.
pub(crate) type Seated = OwnedMutexGuard<()>;

impl Seat {
    pub(crate) async fn take(&self) -> Result<Seated, ActorProcessingErr> {
        let taken = timeout(TO_GO, Arc::clone(&self.0).lock_owned()).await;
        taken.map_err(|_| "the one before it does not end".into())
    }
}
