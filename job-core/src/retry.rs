//! When a failed job runs again.

use crate::chance::Chance;
use crate::seeded_bug;
use std::time::Duration;

/// What a custom [`Backoff`] may look at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailureInfo<'a> {
    /// The attempt that failed, 1 for the first.
    pub attempt: u32,
    /// The error text.
    pub error: &'a str,
}

impl<'a> FailureInfo<'a> {
    /// The failure of this attempt, for unit tests of a custom backoff.
    #[must_use]
    pub fn new(attempt: u32, error: &'a str) -> Self {
        Self { attempt, error }
    }
}

/// The delay between a failure and the next attempt. Computed once, when the failure is settled, and stored.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Backoff {
    /// `base * factor^(attempt-1)`, at most `max`.
    Exponential {
        /// The bound of the first delay.
        base: Duration,
        /// The growth per attempt.
        factor: u32,
        /// The bound of every delay.
        max: Duration,
        /// How the bound becomes a delay.
        jitter: Jitter,
    },
    /// `step * attempt`, at most `max`.
    Linear {
        /// The growth per attempt.
        step: Duration,
        /// The bound of every delay.
        max: Duration,
        /// How the bound becomes a delay.
        jitter: Jitter,
    },
    /// Always the same delay.
    Fixed(Duration),
    /// One delay per attempt; the last repeats.
    List(&'static [Duration]),
    /// Anything else.
    Custom(fn(&FailureInfo<'_>) -> Duration),
}

/// How the bound of a delay becomes the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Anything from 0 to the bound, evenly: jobs that failed together do not come back together.
    Full,
    /// The bound itself.
    None,
}

impl Backoff {
    /// Exponential, base 1 s, factor 2, at most 10 min, full jitter.
    pub const DEFAULT: Self = Self::Exponential {
        base: Duration::from_secs(1),
        factor: 2,
        max: Duration::from_secs(600),
        jitter: Jitter::Full,
    };

    /// The longest delay after this failure, before jitter. Saturates instead of overflowing.
    #[must_use]
    pub fn bound(&self, failure: &FailureInfo<'_>) -> Duration {
        let n = failure.attempt.max(1);
        match *self {
            Self::Exponential { base, factor, max, .. } => {
                let grown =
                    factor.checked_pow(n - 1).and_then(|f| base.checked_mul(f)).unwrap_or(Duration::MAX);
                if seeded_bug!("backoff_unbounded") { grown } else { grown.min(max) }
            }
            Self::Linear { step, max, .. } => step.checked_mul(n).unwrap_or(Duration::MAX).min(max),
            Self::Fixed(delay) => delay,
            Self::List(delays) => {
                let last = delays.len().saturating_sub(1);
                delays.get((n as usize - 1).min(last)).copied().unwrap_or_default()
            }
            Self::Custom(f) => f(failure),
        }
    }

    /// The delay after this failure, jitter applied.
    #[must_use]
    pub fn delay(&self, failure: &FailureInfo<'_>) -> Duration {
        self.delay_by(failure, &Chance::default())
    }

    pub(crate) fn delay_by(&self, failure: &FailureInfo<'_>, chance: &Chance) -> Duration {
        let bound = self.bound(failure);
        match *self {
            _ if seeded_bug!("no_jitter") => bound,
            Self::Exponential { jitter: Jitter::Full, .. } | Self::Linear { jitter: Jitter::Full, .. } => {
                chance.shorten(bound, 0)
            }
            _ => bound,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(b: Backoff, attempt: u32) -> Duration {
        b.bound(&FailureInfo { attempt, error: "" })
    }

    #[test]
    fn exponential_grows_to_its_cap_and_never_overflows() {
        let secs: Vec<u64> = (1..=12).map(|n| bound(Backoff::DEFAULT, n).as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(bound(Backoff::DEFAULT, u32::MAX).as_secs(), 600);
        assert_eq!(bound(Backoff::DEFAULT, 0).as_secs(), 1);
    }

    #[test]
    fn full_jitter_spreads_over_the_whole_bound() {
        let failure = FailureInfo { attempt: 4, error: "" };
        let delays: Vec<_> = (0..500).map(|_| Backoff::DEFAULT.delay(&failure)).collect();
        assert!(delays.iter().all(|d| *d <= Duration::from_secs(8)));
        assert!(delays.iter().any(|d| *d < Duration::from_secs(2)));
        assert!(delays.iter().any(|d| *d > Duration::from_secs(6)));
    }

    #[test]
    fn lists_repeat_their_last_delay() {
        const LIST: &[Duration] = &[Duration::from_secs(10), Duration::from_secs(60)];
        assert_eq!(bound(Backoff::List(LIST), 1).as_secs(), 10);
        assert_eq!(bound(Backoff::List(LIST), 9).as_secs(), 60);
        assert_eq!(bound(Backoff::List(&[]), 1).as_secs(), 0);
    }
}
