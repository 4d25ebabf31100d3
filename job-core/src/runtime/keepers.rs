//! The thread of a runtime's lease keepers.

use super::RuntimeError;
use super::shared::Env;
use super::stall;
use crate::OwnThread;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Starts the thread, if the surrounding runtime can be kept busy without it: a current-thread runtime has one thread for
/// all, and in tests its time stands still.
pub(super) fn start(env: &Env) -> Result<Option<OwnThread>, RuntimeError> {
    let main = Handle::current();
    let _ = env.main.set(main.clone());
    if main.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(None);
    }
    let thread = OwnThread::start("steadfast-lease")
        .map_err(|e| RuntimeError::new(format!("no thread to extend leases on: {e}")))?;
    thread.handle().spawn(stall::watch(main));
    let _ = env.keepers.set(thread.handle().clone());
    Ok(Some(thread))
}
