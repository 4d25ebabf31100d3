//! The model's time against that of the store.

use super::call::{self, Span};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep_until};

/// Calls begin this far into a unit at most, in hundredths of it.
const BEGIN: u32 = 10;
/// Calls whose time matters end this far into a unit at most, in hundredths.
const END: u32 = 40;

/// Whole units since the start of a case.
pub(super) struct Timeline {
    pub(super) unit: Duration,
    paused: bool,
    start: Instant,
    passed: u32,
}

impl Timeline {
    pub(super) fn start(unit: Duration, paused: bool) -> Self {
        Self { unit, paused, start: Instant::now(), passed: 0 }
    }

    /// The instant of the model, in half units.
    pub(super) fn now(&self) -> call::Instant {
        2 * u64::from(self.passed)
    }

    pub(super) fn span(&self, span: Span) -> Duration {
        self.unit * (2 * span.0 + 1) / 2
    }

    fn slot(&self) -> Instant {
        self.start + self.unit * self.passed
    }

    /// Lets units pass, counted from the start: no error adds up.
    pub(super) async fn pass(&mut self, units: u32) {
        self.passed += units;
        if self.paused {
            advance(self.unit * units).await;
        } else {
            sleep_until(self.slot()).await;
        }
    }

    /// Goes on to a later unit if there is no time left in this one for a call.
    pub(super) async fn catch_up(&mut self) {
        while self.slot().elapsed() > self.unit * BEGIN / 100 {
            let late = self.slot().elapsed().as_nanos() / self.unit.as_nanos();
            self.pass(u32::try_from(late).unwrap_or(u32::MAX) + 1).await;
        }
    }

    /// True if a call took so long that it may have happened in the next half unit.
    pub(super) fn is_late(&self) -> bool {
        self.slot().elapsed() > self.unit * END / 100
    }
}
