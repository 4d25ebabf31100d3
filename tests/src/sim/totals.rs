//! How often what happened, and whether that was enough to prove anything.

use super::world::World;
use crate::chaos::Fault;
use crate::judge::Summary;
use std::collections::BTreeMap;
use std::fmt;

/// Counts by name, of one seed or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<&'static str, u64>);

/// What a simulation is there to show, besides every fault.
const SIGHTS: [&str; 14] = [
    "crashes",
    "shutdowns",
    "workers cut off",
    "freezes",
    "acknowledged jobs",
    "stale verdicts",
    "repeated verdicts recognised",
    "unknown outcomes",
    "leases reaped",
    "extensions",
    "deduplicated requests",
    "jobs that ran again",
    "buried jobs",
    "repeated claims",
];

impl Totals {
    pub(super) fn of(world: &World, summary: &Summary) -> Self {
        let counts = [
            world.crashes,
            world.shutdowns,
            world.cuts,
            world.freezes,
            summary.acked,
            summary.stale,
            summary.already_applied,
            summary.unknown,
            summary.reaps,
            summary.extensions,
            summary.deduplicated,
            summary.ran_again,
            summary.buried,
            world.tape.ledger().repeated,
        ];
        let mut totals: BTreeMap<_, _> = SIGHTS.into_iter().zip(counts).collect();
        totals.extend(world.chaos.tally());
        Self(totals)
    }

    /// Adds those of another seed.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// How often this happened.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What happened less often than `floor` times, of all that should: a reason not to believe the rest.
    #[must_use]
    pub fn missing(&self, floor: u64) -> Vec<&'static str> {
        Fault::NAMES.into_iter().chain(SIGHTS).filter(|name| self.get(name) < floor).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        f.write_str(&all.join(", "))
    }
}
