//! One rule about one thing: two levels and a time, so that it does not flap.

use super::alert::AlertEvent;
use crate::seeded_bug;
use std::time::Duration;
use tokio::time::Instant;

/// Raised or not, and since when the measure has been beyond the other level.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latch {
    raised: bool,
    since: Option<Instant>,
}

/// Where a latch switches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) raises_at: u64,
    pub(super) clears_below: u64,
    pub(super) hold: Duration,
}

impl Latch {
    #[cfg(test)]
    pub(super) fn is_raised(&self) -> bool {
        self.raised
    }

    /// True if it needs no memory.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.raised && self.since.is_none()
    }

    /// Takes a measure; says so if the latch switches.
    pub(super) fn measure(&mut self, value: u64, levels: &Levels, now: Instant) -> Option<AlertEvent> {
        let clears_below =
            if seeded_bug!("alert_clears_where_it_raises") { levels.raises_at } else { levels.clears_below };
        let beyond = if self.raised { value < clears_below } else { value >= levels.raises_at };
        if !beyond {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < levels.hold && !seeded_bug!("alert_does_not_hold") {
            return None;
        }
        self.since = None;
        self.raised = !self.raised;
        Some(if self.raised { AlertEvent::Raised } else { AlertEvent::Cleared })
    }

    /// A look failed: what was so far says nothing about the time until the next.
    pub(super) fn miss(&mut self) {
        self.since = None;
    }
}
