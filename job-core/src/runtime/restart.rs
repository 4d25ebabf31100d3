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

impl RestartBudget {
    pub(crate) fn new(max: usize, window: Duration) -> Self {
        Self { max, window, failures: VecDeque::new() }
    }

    /// Counts a failure. Returns how long to wait before the restart, or `None` if there were too many.
    pub(crate) fn spend(&mut self, now: Instant) -> Option<Duration> {
        while self.failures.front().is_some_and(|at| now.duration_since(*at) > self.window) {
            self.failures.pop_front();
        }
        if self.failures.len() >= self.max || seeded_bug!("no_restart") {
            return None;
        }
        let delay = Duration::from_millis(10).saturating_mul(1 << self.failures.len().min(6));
        self.failures.push_back(now);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_outside_the_window_are_forgotten() {
        let mut budget = RestartBudget::new(2, Duration::from_secs(10));
        let start = Instant::now();
        assert!(budget.spend(start).is_some());
        assert!(budget.spend(start).is_some());
        assert!(budget.spend(start).is_none());
        assert!(budget.spend(start + Duration::from_secs(10)).is_none(), "not quite");
        assert!(budget.spend(start + Duration::from_secs(11)).is_some());
    }

    #[test]
    fn each_restart_waits_twice_as_long_up_to_a_bound() {
        let mut budget = RestartBudget::new(9, Duration::from_secs(60));
        let now = Instant::now();
        let delays: Vec<_> = (0..9).filter_map(|_| Some(budget.spend(now)?.as_millis())).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
    }
}
