//! What a run did, and whether that was enough to prove anything.

use super::event::{Answered, Event, Word};
use super::facts::{Facts, VerdictFact};
use super::outside::Via;
use super::point::{Action, Point};
use super::recovery::{Recovery, recoveries};
use super::{Dump, Rule, Told, Violation, fair};
use job_core::JobId;
use std::collections::{BTreeMap, BTreeSet};

/// Counts over all histories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Kills by the point at which they struck.
    pub kills_at: BTreeMap<Point, u64>,
    /// Processes frozen at a point.
    pub frozen: u64,
    /// Answers lost on purpose.
    pub answers_lost: u64,
    /// Acknowledged jobs.
    pub acked: u64,
    /// Acknowledged jobs that broke a rule of being lost.
    pub lost: u64,
    /// Where in their producers' sequences the lost ones were.
    pub losses: Losses,
    /// How long it took until the jobs of killed processes ran again.
    pub recovery: Recovery,
    /// The same, of those that no storm delayed, nor that there was no worker for a while.
    pub calm_recovery: Recovery,
    /// Jobs whose handler was called more than once.
    pub ran_again: u64,
    /// Jobs whose effect happened more than once.
    pub effects_again: u64,
    /// Leases that were ended for somebody who was gone.
    pub reaps: u64,
    /// Extensions of leases that held.
    pub extensions: u64,
    /// Verdicts that were refused.
    pub stale: u64,
    /// Verdicts that were recognised as repeated.
    pub already_applied: u64,
    /// Enqueues and settles whose caller died or was cut off before it had an answer.
    pub unknown: u64,
    /// Requests for which another job stood.
    pub deduplicated: u64,
    /// Jobs in the dead-letter queue by their handler's word.
    pub buried: u64,
    /// Verdicts that brought a job back later.
    pub postponed: u64,
    /// Jobs with an effect that was cut off between its call and the note of its result.
    pub interrupted: u64,
    /// Jobs that ended because of that.
    pub in_doubt: u64,
    /// Jobs whose attempt went on from a checkpoint.
    pub resumed: u64,
    /// Jobs that were completed by a transaction.
    pub committed: u64,
    /// What the other sides have heard, by the way it came to them.
    pub calls: BTreeMap<Via, u64>,
    /// Rows that the transactions of handlers have left.
    pub rows: u64,
    /// Jobs that waited in a fair line while another one had a turn.
    pub passed: u64,
    /// Claims that took jobs ahead of a full limit.
    pub ahead: u64,
}

/// Lost jobs by their place among the acknowledged jobs of their producer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Before every one that was kept: the store began anew.
    pub prefix: u64,
    /// Between some that were kept: a hole.
    pub middle: u64,
    /// After every one that was kept: an acknowledgement came too early, or a reader is slow.
    pub postfix: u64,
}

impl Losses {
    fn of(facts: &Facts, lost: &BTreeSet<JobId>) -> Self {
        let mut losses = Self::default();
        let mut kept: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let acked = || {
            facts.jobs.iter().filter(|(_, j)| j.acked).filter_map(|(id, j)| Some((id, j.asked.as_ref()?.n)))
        };
        for (_, n) in acked().filter(|(id, _)| !lost.contains(id)) {
            let (first, last) = kept.entry(n >> 32).or_insert((n, n));
            (*first, *last) = ((*first).min(n), (*last).max(n));
        }
        for (_, n) in acked().filter(|(id, _)| lost.contains(id)) {
            match kept.get(&(n >> 32)) {
                Some((first, _)) if n < *first => losses.prefix += 1,
                Some((_, last)) if n < *last => losses.middle += 1,
                _ => losses.postfix += 1,
            }
        }
        losses
    }
}

/// What a run must have done at least, to prove anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Floors {
    /// Kills at each point of a worker.
    pub kills_at_each: u64,
    /// Frozen workers.
    pub frozen: u64,
    /// Of each action at each point inside of the product.
    pub each_within: u64,
    /// Servers killed.
    pub server_kills: u64,
    /// Storms of every other kind.
    pub storms: u64,
    /// Jobs with an effect that was cut off before its result was noted, and jobs that went on from a checkpoint.
    pub interrupted: u64,
    /// Jobs that ended because nobody knew whether their effect had happened.
    pub in_doubt: u64,
    /// Jobs that were completed by a transaction.
    pub committed: u64,
    /// Calls to the other side, by each way.
    pub calls: u64,
    /// Jobs that waited in a fair line while another one had a turn.
    pub passed: u64,
    /// Claims that took jobs ahead of a full limit.
    pub ahead: u64,
}

impl Summary {
    pub(super) fn of(told: &[Told], dump: &Dump, facts: &Facts, violations: &[Violation]) -> Self {
        let rows = dump.rows.len() as u64;
        let mut summary =
            Self { unknown: facts.unknown, rows, ahead: facts.slots.len() as u64, ..Self::default() };
        for record in told.iter().flat_map(|t| &t.records) {
            summary.count(&record.event);
        }
        for call in &dump.calls {
            *summary.calls.entry(call.via).or_default() += 1;
        }
        for job in facts.jobs.values() {
            summary.acked += u64::from(job.acked);
            summary.ran_again += u64::from(job.starts.len() > 1);
            summary.effects_again += u64::from(job.effects > 1);
            summary.interrupted += u64::from(job.outside.unresolved().next().is_some());
            summary.resumed += u64::from(job.outside.was_resumed());
            summary.committed += u64::from(job.outside.committed().next().is_some());
            // The verdict that follows a transaction finds the job gone, which says nothing of fences and repeats.
            let own = |v: &&VerdictFact| !job.outside.tried_to_commit(v.held);
            for verdict in job.verdicts.iter().filter(own) {
                summary.stale += u64::from(verdict.is(Answered::Stale));
                summary.already_applied += u64::from(verdict.is(Answered::AlreadyApplied));
            }
            for verdict in job.verdicts.iter().filter(|v| v.is(Answered::Applied)) {
                summary.postponed += u64::from(verdict.word.pause_ms() > 0);
                summary.buried += u64::from(verdict.word == Word::DeadPermanent);
                summary.in_doubt += u64::from(verdict.word == Word::DeadInDoubt);
            }
        }
        summary.passed = fair::waits(facts).iter().filter(|wait| wait.was_passed()).count() as u64;
        let lost = |v: &&Violation| matches!(v.rule, Rule::Lost | Rule::NeverRan);
        let jobs: BTreeSet<JobId> = violations.iter().filter(lost).filter_map(|v| v.job).collect();
        summary.lost = jobs.len() as u64;
        summary.losses = Losses::of(facts, &jobs);
        (summary.recovery, summary.calm_recovery) = recoveries(facts);
        summary
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Reached { point, action: Action::Kill, .. } => {
                *self.kills_at.entry(*point).or_default() += 1;
            }
            Event::Reached { action: Action::Freeze, .. } => self.frozen += 1,
            Event::Reached { action: Action::Lose, .. } => self.answers_lost += 1,
            Event::Maintained { reaped, .. } => self.reaps += reaped,
            Event::Extended { held, .. } => self.extensions += held,
            Event::EnqueueAcked { answers, .. } => {
                self.deduplicated += answers.iter().filter(|a| a.asked != a.job).count() as u64;
            }
            _ => {}
        }
    }

    /// What the run did too little of: each a reason not to believe it.
    #[must_use]
    pub fn missing(&self, floors: &Floors) -> Vec<String> {
        let mut missing = Vec::new();
        let mut need = |what: String, had: u64, floor: u64| {
            if had < floor {
                missing.push(format!("{what}: {had}, needs {floor}"));
            }
        };
        for point in Point::WORKER {
            let had = self.kills_at.get(&point).copied().unwrap_or(0);
            need(format!("kills {point}"), had, floors.kills_at_each);
        }
        for point in Point::PRODUCER {
            need(format!("kills {point}"), self.kills_at.get(&point).copied().unwrap_or(0), 1);
        }
        need("frozen workers".into(), self.frozen, floors.frozen);
        need("stale verdicts".into(), self.stale, floors.frozen);
        need("leases reaped".into(), self.reaps, floors.kills_at_each);
        need("effects interrupted".into(), self.interrupted, floors.interrupted);
        need("jobs resumed".into(), self.resumed, floors.interrupted);
        need("effects in doubt".into(), self.in_doubt, floors.in_doubt);
        need("transactions".into(), self.committed, floors.committed);
        for via in [Via::File, Via::Http] {
            need(format!("calls by {via}"), self.calls.get(&via).copied().unwrap_or(0), floors.calls);
        }
        need("waits for a turn".into(), self.passed, floors.passed);
        need("claims ahead".into(), self.ahead, floors.ahead);
        need("unknown outcomes".into(), self.unknown, floors.kills_at_each);
        let once = [
            ("answers lost on purpose", self.answers_lost),
            ("repeats recognised", self.already_applied),
            ("deduplicated requests", self.deduplicated),
            ("jobs that ran again", self.ran_again),
            ("extensions", self.extensions),
            ("buried jobs", self.buried),
            ("postponed jobs", self.postponed),
        ];
        for (what, had) in once {
            need(what.into(), had, 1);
        }
        missing
    }
}
