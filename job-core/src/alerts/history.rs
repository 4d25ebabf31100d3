//! What one process has seen of a queue, as far back as rules look.

use crate::Kind;
use crate::gauges::{Gauges, KindGauge};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct History {
    /// When so many numbers had been given, part by part; oldest first.
    given: Vec<VecDeque<(Instant, u64)>>,
    /// How many jobs were dead at the last look.
    dead: Option<u64>,
    /// When so many more were dead than at the look before.
    deaths: VecDeque<(Instant, u64)>,
    /// The first ready job of a kind in a part, and since when it has been that one.
    heads: BTreeMap<(Kind, usize), (u64, Instant)>,
}

impl History {
    /// Takes a look; forgets what is older than `keep`.
    pub(super) fn note(&mut self, gauges: &Gauges, now: Instant, keep: Duration) {
        self.given.resize_with(gauges.given.len(), VecDeque::new);
        for (seen, given) in self.given.iter_mut().zip(&gauges.given) {
            // Numbers that were given anew to an emptied store say nothing about those before.
            if seen.back().is_some_and(|(_, last)| last > given) {
                seen.clear();
            }
            if seen.back().is_none_or(|(_, last)| last != given) {
                seen.push_back((now, *given));
            }
            // The newest of those that are too old still bounds the age of what is older.
            while seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) > keep) {
                seen.pop_front();
            }
        }
        let more = self.dead.map_or(0, |dead| gauges.dead.saturating_sub(dead));
        self.dead = Some(gauges.dead);
        if more > 0 {
            self.deaths.push_back((now, more));
        }
        while self.deaths.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > keep) {
            self.deaths.pop_front();
        }
        let mut heads = BTreeMap::new();
        for gauge in &gauges.kinds {
            let place = (gauge.kind.clone(), gauge.part);
            let head = match self.heads.get(&place) {
                Some(&(number, since)) if number == gauge.number => (number, since),
                _ => (gauge.number, now),
            };
            heads.insert(place, head);
        }
        self.heads = heads;
    }

    /// How many jobs died within this time, seen by this process.
    pub(super) fn died(&self, within: Duration, now: Instant) -> u64 {
        let recent = self.deaths.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= within);
        recent.map(|(_, more)| more).sum()
    }

    /// For how long a job has been ready at least: since the first look at which its number had been given. It cannot have
    /// been ready for longer than it has been enqueued.
    pub(super) fn ready_for(&self, gauge: &KindGauge, now: Instant) -> Duration {
        let seen = self.given.get(gauge.part);
        let given_by = seen.and_then(|seen| seen.iter().find(|(_, given)| *given >= gauge.number));
        given_by
            .map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
            .min(gauge.since_enqueued)
    }

    /// For how long nobody has taken the first ready job of this kind.
    pub(super) fn untouched_for(&self, gauge: &KindGauge, now: Instant) -> Duration {
        let head = self.heads.get(&(gauge.kind.clone(), gauge.part));
        head.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}
