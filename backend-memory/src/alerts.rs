//! What workers have raised.

use crate::clock::Tick;
use job_core::{AlertReport, RaisedAlert, WorkerId, seeded_bug};
use std::collections::BTreeMap;

/// The last report of each worker, and when it ends.
#[derive(Debug, Default)]
pub(crate) struct Reports(BTreeMap<WorkerId, (Tick, Vec<RaisedAlert>)>);

impl Reports {
    pub(crate) fn put(&mut self, report: &AlertReport, now: Tick) {
        self.forget(now);
        if report.alerts().is_empty() {
            self.0.remove(&report.worker());
        } else {
            let until = now.saturating_add(report.valid_for());
            self.0.insert(report.worker(), (until, report.alerts().to_vec()));
        }
    }

    pub(crate) fn list(&mut self, now: Tick) -> Vec<RaisedAlert> {
        self.forget(now);
        self.0.values().flat_map(|(_, alerts)| alerts).cloned().collect()
    }

    fn forget(&mut self, now: Tick) {
        self.0.retain(|_, (until, _)| *until > now || seeded_bug!("memory_alerts_for_ever"));
    }
}
