//! What came of a simulation.

use super::tape::name_ids;
use super::totals::Totals;
use super::world::World;
use crate::rig::checker::{self, Dump, Rule};
use std::collections::BTreeSet;
use std::fmt;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Everything that happened; the same to the byte whenever the seed is the same.
    pub trace: String,
    /// The rules that were broken.
    pub broken: BTreeSet<Rule>,
    /// What went wrong, a line each; empty in a good run.
    pub complaints: Vec<String>,
    /// How the first job that broke a rule fared.
    pub timeline: Vec<String>,
    /// What happened how often.
    pub totals: Totals,
}

impl Outcome {
    pub(super) fn judge(seed: u64, world: &World, dump: &Dump, mut complaints: Vec<String>) -> Self {
        let told = world.tape.told();
        let judgement = checker::check(&told, dump);
        complaints.extend(judgement.violations.iter().map(ToString::to_string));
        let first = judgement.violations.iter().find_map(|v| v.job);
        Self {
            seed,
            trace: world.tape.trace(),
            broken: judgement.violations.iter().map(|v| v.rule).collect(),
            complaints,
            timeline: first.map(|job| checker::timeline(&told, job)).unwrap_or_default(),
            totals: Totals::of(world, &judgement.summary),
        }
    }

    /// True if nothing went wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("seed {}:\n", self.seed);
        for complaint in self.complaints.iter().take(10) {
            text.push_str(&format!("  {complaint}\n"));
        }
        if self.complaints.len() > 10 {
            text.push_str(&format!("  and {} more\n", self.complaints.len() - 10));
        }
        for line in self.timeline.iter().take(40) {
            text.push_str(&format!("    {line}\n"));
        }
        f.write_str(&name_ids(&text))
    }
}
