//! What came of a simulation.

use super::job::LEASE;
use super::tape::name_ids;
use super::totals::Totals;
use super::world::World;
use crate::rig::checker::{self, Dump, Rule, Told};
use crate::rig::event::Event;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// A maintainer that was cut off waits for a lease before it ends any, and others may have been granted just before.
const TO_FORGET: Duration = LEASE.saturating_mul(4);

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
        complaints.extend(world.tape.ledger().complaints.iter().cloned());
        complaints.extend(late_reaps(&told, world.healed));
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

/// Leases that were ended although everybody who lives could have kept them. Soon after the trouble there are still
/// those of the dead, and those of claims whose answer got lost.
fn late_reaps(told: &[Told], healed: u64) -> Vec<String> {
    let grace = u64::try_from(TO_FORGET.as_nanos()).unwrap_or(u64::MAX);
    let late = told.iter().flat_map(|t| t.records.iter().map(move |r| (t, r))).filter_map(|(t, r)| {
        let Event::Maintained { reaped: 1.., returned, .. } = r.event else { return None };
        let after = r.at.checked_sub(healed + grace)?;
        let after = Duration::from_nanos(after) + TO_FORGET;
        Some(format!("{} had to end leases of {returned} jobs {after:?} after all trouble", t.by))
    });
    late.collect()
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
