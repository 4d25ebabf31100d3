//! How often a part may fail before the whole does.

use crate::seeded_bug;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct RestartBudget {
    max: usize,
    window: Duration,
    failures: VecDeque<Instant>,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restart {
    /// How long to wait before the part is started again.
    pub(crate) after: Duration,
    /// The runtime cannot go on. The part is started again all the same: handlers that are being drained need it.
    pub(crate) too_often: bool,
}

impl Default for RestartBudget {
    /// Ten failures in a minute.
    fn default() -> Self {
        Self::new(10, Duration::from_secs(60))
    }
}

impl RestartBudget {
    fn new(max: usize, window: Duration) -> Self {
        Self { max, window, failures: VecDeque::new() }
    }

    /// Counts a failure.
    pub(crate) fn spend(&mut self, now: Instant) -> Restart {
        while self.failures.front().is_some_and(|at| now.duration_since(*at) > self.window) {
            self.failures.pop_front();
        }
        let before = self.failures.len();
        if before <= self.max {
            self.failures.push_back(now);
        }
        let after = Duration::from_millis(10).saturating_mul(1 << before.min(6));
        let after = if seeded_bug!("no_restart") { self.window } else { after };
        Restart { after, too_often: before >= self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_outside_the_window_are_forgotten() {
        let mut budget = RestartBudget::new(2, Duration::from_secs(10));
        let start = Instant::now();
        assert!(!budget.spend(start).too_often);
        assert!(!budget.spend(start).too_often);
        assert!(budget.spend(start).too_often);
        assert!(budget.spend(start + Duration::from_secs(10)).too_often, "not quite");
        assert!(!budget.spend(start + Duration::from_secs(11)).too_often);
    }

    #[test]
    fn restarts_become_slower_and_come_within_a_second() {
        let mut budget = RestartBudget::default();
        let start = Instant::now();
        let waits: Vec<_> = (0..100).map(|_| budget.spend(start).after).collect();
        assert!(waits.is_sorted() && waits[0] < waits[1], "{waits:?}");
        assert!(waits[99] < Duration::from_secs(1), "{waits:?}");
    }

    #[test]
    fn each_restart_waits_twice_as_long_up_to_a_bound() {
        let mut budget = RestartBudget::new(9, Duration::from_secs(60));
        let now = Instant::now();
        let delays: Vec<_> = (0..9).map(|_| budget.spend(now).after.as_millis()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
    }
}
