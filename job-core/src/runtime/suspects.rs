//! How many jobs that were near a crash may run here at once: one, then twice as many with each that ends well.
//! A crash ends the process, so a new one starts with one again.

use crate::backend::Suspicion;
use crate::seeded_bug;

#[derive(Debug)]
pub(crate) struct Suspects {
    allowed: usize,
    running: usize,
    solo: bool,
}

/// More at once would not find the guilty one faster.
const ALLOWED_MAX: usize = 64;

impl Default for Suspects {
    fn default() -> Self {
        Self { allowed: 1, running: 0, solo: false }
    }
}

impl Suspects {
    /// How many more may be claimed.
    pub(crate) fn allowance(&self) -> usize {
        if seeded_bug!("suspects_unlimited") {
            return ALLOWED_MAX;
        }
        if self.solo { 0 } else { self.allowed.saturating_sub(self.running) }
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn claimed(&mut self, suspicion: Suspicion) {
        self.running += 1;
        self.solo |= suspicion == Suspicion::Solo;
    }

    pub(crate) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.solo = false;
        self.allowed = (self.allowed * 2).min(ALLOWED_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_slowly_and_doubles() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.allowance(), 1);
        suspects.claimed(Suspicion::Suspect);
        assert_eq!(suspects.allowance(), 0);
        suspects.ended();
        assert_eq!(suspects.allowance(), 2);
    }

    #[test]
    fn nothing_joins_a_solo_run() {
        let mut suspects = Suspects { allowed: 8, running: 0, solo: false };
        suspects.claimed(Suspicion::Solo);
        assert_eq!(suspects.allowance(), 0);
        suspects.ended();
        assert!(suspects.allowance() > 0);
    }
}
