//! Nobody waits behind the many jobs of another: lines of one kind take turns, one job each.
//!
//! The bound: while a job waits in its line, no other line of its kind has more turns than that line itself has, and one.

use super::Rule;
use super::facts::{ClaimFact, Facts, JobFacts};
use super::rules::Found;
use job_core::JobId;
use std::collections::BTreeMap;

/// A job that waited in a line, and who had turns meanwhile.
pub(super) struct Wait<'a> {
    job: JobId,
    line: &'a str,
    /// From when it surely waited until when.
    time: (u64, u64),
    /// How many turns its own line may have had.
    own: usize,
    /// The other line that had the most, and how many those were at least.
    most: Option<(&'a str, usize)>,
}

impl Wait<'_> {
    /// Another line had a turn, so the bound says something.
    pub(super) fn was_passed(&self) -> bool {
        self.most.is_some()
    }
}

/// When something was done: not before the one time, and not after the other.
#[derive(Debug, Clone, Copy)]
struct Between {
    after: u64,
    before: u64,
}

#[derive(Default)]
struct Line {
    /// Turns that it had: the first claims of its jobs. Those that come later may be of jobs that a crash gave back, which wait
    /// in no line.
    sure: Vec<Between>,
    /// Turns that it may have had: every claim, also those that nobody lived to write down.
    possible: Vec<Between>,
    /// The longest time between the bounds of one of those.
    longest: u64,
}

impl Line {
    fn add(&mut self, job: &JobFacts) {
        let mut claims: Vec<&ClaimFact> = job.claims.iter().collect();
        claims.sort_unstable_by_key(|c| (c.held.claims, c.at));
        // A claim that is repeated is the same one.
        claims.dedup_by_key(|c| c.held);
        let (mut number, mut after) = (0, job.sent);
        for claim in claims {
            let heard = Between { after: claim.sent, before: claim.at };
            for _ in number + 1..claim.held.claims {
                self.possible.push(Between { after, before: claim.at });
            }
            self.possible.push(heard);
            if claim.held.claims == 1 {
                self.sure.push(heard);
            }
            (number, after) = (claim.held.claims, claim.sent);
        }
    }

    fn sort(&mut self) {
        self.sure.sort_unstable_by_key(|turn| turn.before);
        self.possible.sort_unstable_by_key(|turn| turn.before);
        self.longest = self.possible.iter().map(|t| t.before.saturating_sub(t.after)).max().unwrap_or(0);
    }

    /// How many turns it had wholly within this time.
    fn at_least(&self, from: u64, to: u64) -> usize {
        let first = self.sure.partition_point(|turn| turn.before <= from);
        let ended = self.sure[first..].iter().take_while(|turn| turn.before < to);
        ended.filter(|turn| turn.after > from).count()
    }

    /// How many turns it can have had within this time.
    fn at_most(&self, from: u64, to: u64) -> usize {
        let first = self.possible.partition_point(|turn| turn.before <= from);
        let last = to.saturating_add(self.longest);
        let ended = self.possible[first..].iter().take_while(|turn| turn.before <= last);
        ended.filter(|turn| turn.after < to).count()
    }
}

fn line_of(job: &JobFacts) -> Option<&str> {
    job.asked.as_ref()?.under.fair.as_deref()
}

/// Each job of a fair line, from when its producer knew that it is stored until its first claim was sent.
pub(super) fn waits(facts: &Facts) -> Vec<Wait<'_>> {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for job in facts.jobs.values() {
        if let Some(line) = line_of(job) {
            lines.entry(line).or_default().add(job);
        }
    }
    lines.values_mut().for_each(Line::sort);
    let mut waits = Vec::new();
    for (&id, job) in &facts.jobs {
        let Some((line, from)) = line_of(job).zip(job.acked_at) else { continue };
        let first = job.claims.iter().filter(|c| c.held.claims == 1).map(|c| c.sent).min();
        // A server that is killed may forget claims, and with them whose turn it is.
        let Some(to) = first.filter(|to| *to > from && !facts.server_killed_between(from, *to)) else {
            continue;
        };
        let others = lines.iter().filter(|(other, _)| **other != line);
        let others = others.map(|(other, turns)| (*other, turns.at_least(from, to)));
        let most = others.filter(|(_, turns)| *turns > 0).max_by_key(|(_, turns)| *turns);
        waits.push(Wait { job: id, line, time: (from, to), own: lines[line].at_most(from, to), most });
    }
    waits
}

pub(super) fn rules(facts: &Facts, found: &mut Found) {
    for wait in waits(facts) {
        let Some((other, turns)) = wait.most.filter(|(_, turns)| *turns > wait.own + 1) else { continue };
        found.job = Some(wait.job);
        let (own, ms) = (wait.own, (wait.time.1 - wait.time.0) / 1_000_000);
        let text =
            format!("in the {ms} ms that it waited, {} had {own} turns and {other} {turns}", wait.line);
        found.add(Rule::Starved, text);
    }
    found.job = None;
}
