//! What came of a simulation.

use super::job::LEASE;
use super::totals::Totals;
use super::world::World;
use crate::judge::event::Event;
use crate::judge::{self, Dump, Rule, Told};
use job_core::JobId;
use std::collections::{BTreeMap, BTreeSet};
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
        let judgement = judge::check(&told, dump);
        complaints.extend(judgement.violations.iter().map(ToString::to_string));
        complaints.extend(world.tape.ledger().complaints.iter().cloned());
        complaints.extend(world.tape.told_of_done().iter().flat_map(untold));
        complaints.extend(late_reaps(&told, world.healed));
        let first = judgement.violations.iter().find_map(|v| v.job);
        let timeline = first.map(|job| judge::timeline(&told, job)).unwrap_or_default();
        let (trace, mut named) = world.tape.trace(&[timeline, complaints]);
        Self {
            seed,
            trace,
            complaints: named.pop().unwrap_or_default(),
            timeline: named.pop().unwrap_or_default(),
            broken: judgement.violations.iter().map(|v| v.rule).collect(),
            totals: Totals::of(world, &judgement.summary),
        }
    }

    /// True if nothing went wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// Verdicts that a process sent, never heard of, and did not send again.
fn untold(told: &Told) -> Vec<String> {
    let answered: BTreeSet<u64> = told
        .records
        .iter()
        .filter_map(|r| match r.event {
            Event::SettleAnswered { call, .. } => Some(call),
            _ => None,
        })
        .collect();
    let mut last: BTreeMap<(JobId, u64), bool> = BTreeMap::new();
    for record in &told.records {
        if let Event::SettleSent { call, verdicts } = &record.event {
            for verdict in verdicts {
                *last.entry((verdict.held.job, verdict.held.claims)).or_default() |= answered.contains(call);
            }
        }
    }
    let untold = last.into_iter().filter(|(_, heard)| !heard);
    untold
        .map(|((job, claims), _)| format!("{} gave up on the verdict of claim {claims} of {job}", told.by))
        .collect()
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
        f.write_str(&text)
    }
}
