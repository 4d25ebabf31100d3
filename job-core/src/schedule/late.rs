//! Ticks that nobody has decided in time, for alerts.

use super::definition::Definition;
use super::plan::between;
use super::store::Schedules;
use crate::{Kind, seeded_bug};
use std::time::Duration;

/// For how long the first tick of each schedule that is late has been due, with the kind of its jobs.
pub(crate) fn late(schedules: &Schedules) -> Vec<(Kind, Duration)> {
    let live =
        schedules.entries.iter().filter(|entry| !entry.paused || seeded_bug!("alert_of_paused_schedule"));
    let late = live.filter_map(|entry| {
        let definition = Definition::read(&entry.def).ok()?;
        let tick = definition.schedule.next_after(entry.watermark)?;
        let late = between(tick, schedules.now);
        (!late.is_zero()).then_some((definition.kind, late))
    });
    late.collect()
}
