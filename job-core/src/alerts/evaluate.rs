//! From looks at queues to alerts raised and cleared. No clock and no store: both are given.

use super::alert::{AlertEvent, Found};
use super::history::History;
use super::latch::{Latch, Levels};
use super::rule::{Measure, Rule};
use crate::gauges::{Gauges, KindGauge};
use crate::schedule::late;
use crate::{Kind, QueueName, seeded_bug};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// What a rule is about: a queue as a whole, or one kind in it.
type Subject = (usize, Option<Kind>);

/// The rules of one process, and what it has seen of every queue.
#[derive(Debug)]
pub(super) struct Evaluation {
    rules: Vec<Rule>,
    keep: Duration,
    queues: BTreeMap<QueueName, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    history: History,
    latches: BTreeMap<Subject, Latch>,
}

impl Evaluation {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let reach = |rule: &Rule| match rule.measure {
            Measure::DeadGrowth(within) => within,
            Measure::OldestReady | Measure::NoWorker => Duration::from_millis(rule.raises_at),
            Measure::DeadDepth | Measure::QueueDepth | Measure::MissedSchedule => Duration::ZERO,
        };
        let keep = rules.iter().map(reach).max().unwrap_or_default();
        Self { rules, keep, queues: BTreeMap::new() }
    }

    /// How far counts are of interest.
    pub(super) fn count_to(&self) -> u32 {
        let jobs = self.rules.iter().filter(|r| r.measure.unit() == "jobs").map(|r| r.raises_at);
        // Growth is seen only as far as is counted.
        u32::try_from(jobs.max().unwrap_or(0).max(10_000)).unwrap_or(u32::MAX)
    }

    /// Takes a look at a queue. `handles` says which kinds this process takes from it.
    pub(super) fn look(
        &mut self,
        queue: &QueueName,
        gauges: &Gauges,
        handles: impl Fn(&Kind) -> bool,
        now: Instant,
    ) -> Vec<Found> {
        let seen = self.queues.entry(queue.clone()).or_default();
        seen.history.note(gauges, now, self.keep);
        let mut found = Vec::new();
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.concerns(queue)) {
            let values = measure(rule.measure, gauges, &seen.history, &handles, now);
            let levels =
                Levels { raises_at: rule.raises_at, clears_below: rule.clears_below, hold: rule.hold };
            let known = seen.latches.keys().filter(|(n, _)| *n == at).map(|(_, kind)| kind.clone());
            let subjects: BTreeSet<Option<Kind>> = values.keys().cloned().chain(known).collect();
            for kind in subjects {
                let value = values.get(&kind).copied().unwrap_or(0);
                let latch = seen.latches.entry((at, kind.clone())).or_default();
                if let Some(event) = latch.measure(value, &levels, now) {
                    found.push(report(rule, queue, kind, value, event, gauges.paused));
                }
            }
        }
        seen.latches.retain(|_, latch| !latch.is_at_rest());
        found
    }

    /// A look at a queue failed.
    pub(super) fn miss(&mut self, queue: &QueueName) {
        if let Some(seen) = self.queues.get_mut(queue) {
            seen.latches.values_mut().for_each(Latch::miss);
        }
    }

    #[cfg(test)]
    fn raised(&self) -> usize {
        self.queues.values().flat_map(|seen| seen.latches.values()).filter(|latch| latch.is_raised()).count()
    }
}

/// What a rule measures now, for the queue as a whole or kind by kind.
fn measure(
    measure: Measure,
    gauges: &Gauges,
    history: &History,
    handles: impl Fn(&Kind) -> bool,
    now: Instant,
) -> BTreeMap<Option<Kind>, u64> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let whole = |value| BTreeMap::from([(None, value)]);
    match measure {
        Measure::DeadDepth => whole(gauges.dead),
        Measure::DeadGrowth(within) => whole(history.died(within, now)),
        Measure::QueueDepth => whole(gauges.ready),
        Measure::OldestReady => {
            let ages = gauges.kinds.iter().filter(|gauge| !is_paused(gauges, gauge));
            let ages = ages.map(|gauge| ms(history.ready_for(gauge, now)));
            whole(ages.max().unwrap_or(0))
        }
        Measure::MissedSchedule => {
            let mut values = BTreeMap::new();
            for (kind, late) in late(&gauges.schedules) {
                let value: &mut u64 = values.entry(Some(kind)).or_default();
                *value = (*value).max(ms(late));
            }
            values
        }
        Measure::NoWorker => {
            let mut values = BTreeMap::new();
            let foreign =
                |gauge: &&KindGauge| !gauges.paused && !is_paused(gauges, gauge) && !handles(&gauge.kind);
            for gauge in gauges.kinds.iter().filter(foreign) {
                let value: &mut u64 = values.entry(Some(gauge.kind.clone())).or_default();
                *value = (*value).max(ms(history.untouched_for(gauge, now)));
            }
            values
        }
    }
}

/// True for a kind that waits because somebody said so.
fn is_paused(gauges: &Gauges, gauge: &KindGauge) -> bool {
    gauges.paused_kinds.contains(&gauge.kind) && !seeded_bug!("alert_of_paused_kind")
}

fn report(
    rule: &Rule,
    queue: &QueueName,
    kind: Option<Kind>,
    value: u64,
    event: AlertEvent,
    paused: bool,
) -> Found {
    let seconds = value / 1000;
    let mut message = match (event, rule.measure) {
        (AlertEvent::Cleared, _) => format!("queue {queue}: {} is over", rule.name),
        (_, Measure::DeadDepth) => format!("queue {queue} has {value} dead job(s)"),
        (_, Measure::DeadGrowth(within)) => {
            format!("queue {queue} got {value} new dead job(s) within {within:?}")
        }
        (_, Measure::QueueDepth) => format!("queue {queue} has {value} ready jobs"),
        (_, Measure::OldestReady) => format!("queue {queue} has a job that has been ready for {seconds} s"),
        (_, Measure::MissedSchedule) => {
            let kind = kind.as_ref().map_or("-", Kind::as_str);
            format!("queue {queue} has a schedule for {kind} whose tick nobody has fired for {seconds} s")
        }
        (_, Measure::NoWorker) => {
            let kind = kind.as_ref().map_or("-", Kind::as_str);
            format!("queue {queue} has jobs of kind {kind} that no worker has taken for {seconds} s")
        }
    };
    if paused {
        message.push_str("; the queue is paused");
    }
    Found {
        event,
        rule: rule.name.clone(),
        queue: queue.clone(),
        kind,
        value,
        threshold: rule.raises_at,
        unit: rule.measure.unit(),
        message,
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
