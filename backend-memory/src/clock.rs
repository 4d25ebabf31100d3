//! Time as the store sees it.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// An instant, counted from the start of the store.
pub(crate) type Tick = Duration;

/// tokio's clock, with a wall time that moves with it: a paused test sees consistent timestamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall: Timestamp,
}

impl Clock {
    pub(crate) fn start(wall: Timestamp) -> Self {
        Self { start: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Tick {
        Instant::now().saturating_duration_since(self.start)
    }

    pub(crate) fn wall(&self, at: Tick) -> Timestamp {
        SignedDuration::try_from(at)
            .ok()
            .and_then(|d| self.wall.checked_add(d).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// The instant with this wall time; the start for everything before it.
    pub(crate) fn tick(&self, at: Timestamp) -> Tick {
        Duration::try_from(at.duration_since(self.wall)).unwrap_or_default()
    }
}
