//! What code declares about limits, and what people set.

use crate::state::State;
use job_core::{
    Declared, Kind, KindLimits, LimitName, LimitRecord, LimitRule, LimitStep, LineRecord, QueueName,
};
use std::time::Duration;

impl State {
    pub(crate) fn declare(&mut self, queue: &QueueName, declared: &Declared) {
        let now = self.clock.now();
        for (name, rule) in &declared.limits {
            self.limiters.declare(name, *rule);
        }
        for kind in &declared.kinds {
            let is_free = *kind == KindLimits::none(kind.kind.clone());
            if is_free && !self.has_rule(queue, &kind.kind) {
                continue;
            }
            let queue = self.queue_mut(queue);
            let number = queue.number_kind(&kind.kind);
            let before = queue.lines.rule(number).map(|rule| rule.limits.clone()).unwrap_or_default();
            queue.lines.set_rule(number, kind, now);
            if before != kind.limits {
                self.limiters.version += 1;
            }
        }
    }

    fn has_rule(&self, queue: &QueueName, kind: &Kind) -> bool {
        let queue = self.queue_number(queue).map(|number| &self.queues[number as usize]);
        queue.is_some_and(|queue| queue.kind_number(kind).is_some_and(|n| queue.lines.rule(n).is_some()))
    }

    pub(crate) fn close_limit(&mut self, limit: &LimitName, period: Duration) {
        let until = self.clock.now().saturating_add(period);
        self.limiters.close(limit, until);
    }

    pub(crate) fn adapt_limit(&mut self, limit: &LimitName, step: LimitStep) -> Option<u32> {
        let now = self.clock.now();
        self.limiters.adapt(limit, step, now)
    }

    pub(crate) fn open_limit(&mut self, limit: &LimitName) {
        self.limiters.open(limit);
        self.wake_all();
    }

    pub(crate) fn set_limit(&mut self, limit: &LimitName, rule: Option<LimitRule>) {
        self.limiters.set(limit, rule);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.queues.iter().filter(|queue| queue.has_ready()).for_each(|queue| queue.wake());
    }

    pub(crate) fn limits(&self) -> Vec<LimitRecord> {
        self.limiters.records(self.clock.now())
    }

    pub(crate) fn set_weight(&mut self, queue: &QueueName, kind: &Kind, key: &str, weight: u32) {
        let now = self.clock.now();
        let queue = self.queue_mut(queue);
        let kind = queue.number_kind(kind);
        queue.lines.set_weight(kind, key, weight, now);
    }

    pub(crate) fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Vec<LineRecord> {
        let Some(number) = self.queue_number(queue) else { return Vec::new() };
        let queue = &self.queues[number as usize];
        let lines = queue.kinds().flat_map(|(kind, number)| queue.lines.records(number, kind));
        let mut lines: Vec<_> =
            lines.filter(|l| after.is_none_or(|after| (&l.kind, l.key.as_str()) > after)).collect();
        lines.sort_unstable_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
        lines.truncate(limit as usize);
        lines
    }
}
