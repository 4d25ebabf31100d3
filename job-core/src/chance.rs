//! Chance that only spreads calls over time. A simulation seeds it, so that the same seed makes the same run.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The thread's own generator unless seeded; clones of a seeded one draw from the same sequence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chance(Option<Arc<Seeded>>);

#[derive(Debug)]
struct Seeded {
    seed: u64,
    rng: Mutex<StdRng>,
}

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Seeded { seed, rng: Mutex::new(StdRng::seed_from_u64(seed)) })))
    }

    /// Another one: what it draws takes nothing from this one's sequence.
    pub(crate) fn fork(&self) -> Self {
        self.0.as_ref().map_or_else(Self::default, |seeded| Self::seeded(!seeded.seed))
    }

    /// Anything from `percent` of the bound to the bound itself, evenly, in microseconds.
    pub(crate) fn shorten(&self, bound: Duration, percent: u64) -> Duration {
        let most = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let range = most / 100 * percent..=most;
        Duration::from_micros(match &self.0 {
            None => rand::rng().random_range(range),
            Some(seeded) => seeded.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(range),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(chance: &Chance) -> Vec<Duration> {
        (0..20).map(|_| chance.shorten(Duration::from_secs(1), 50)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(draws(&Chance::seeded(7)), draws(&Chance::seeded(7)));
        assert_ne!(draws(&Chance::seeded(7)), draws(&Chance::seeded(8)));
        assert_ne!(draws(&Chance::default()), draws(&Chance::default()));
        let bounds = Duration::from_millis(500)..=Duration::from_secs(1);
        assert!(draws(&Chance::default()).iter().all(|d| bounds.contains(d)));
    }
}
