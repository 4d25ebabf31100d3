//! Calls that are made again after a failure that passes by itself.

use crate::chance::Chance;
use crate::error::BackendError;
use std::time::Duration;

/// How often a call may still be made again, and after which delay: half to all of a bound that doubles.
#[derive(Debug)]
pub(crate) struct Repeats {
    left: u32,
    bound: Duration,
}

impl Repeats {
    pub(crate) const fn new(most: u32, first: Duration) -> Self {
        Self { left: most, bound: first }
    }

    /// Waits, if a call that failed so is to be made once more; false at once if it is not.
    pub(crate) async fn again(&mut self, error: &BackendError, chance: &Chance) -> bool {
        if self.left == 0 || !error.is_transient() {
            return false;
        }
        tokio::time::sleep(chance.shorten(self.bound, 50)).await;
        self.left -= 1;
        self.bound *= 2;
        true
    }
}
