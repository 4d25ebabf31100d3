//! What handlers do outside of the system, and with the completion of their jobs: what was written down of it, and the rules.

use super::event::{Conduct, Event, Held};
use super::facts::{Facts, JobFacts};
use super::rules::Found;
use super::{Dump, Rule};
use job_core::{JobId, JobState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// How a handler reaches out of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reach {
    /// By an effect of `EffectKind::IdempotentByKey`.
    ByKey,
    /// By an effect of `EffectKind::AtMostOnce`.
    AtMostOnce,
    /// By an effect of `EffectKind::AtLeastOnce`.
    AtLeastOnce,
    /// By an effect about which the other side is asked.
    Verified,
    /// By a row, in the transaction that completes the job.
    Transaction,
}

/// By which way a job reaches another side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Via {
    /// By a line of a file.
    #[default]
    File,
    /// By a request to a service.
    Http,
}

impl Via {
    /// That of the job with this number, in all of its attempts.
    #[must_use]
    pub fn of(n: u64) -> Self {
        if n.is_multiple_of(2) { Self::File } else { Self::Http }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "file",
            Self::Http => "HTTP",
        })
    }
}

/// One line of what the other side has heard. Their order is what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The key.
    pub key: String,
    /// On whose behalf.
    pub held: Held,
    /// True if it was only asked whether it had been called. From then on it refuses calls of older claims.
    pub asks: bool,
    /// Who has heard it.
    #[serde(default)]
    pub via: Via,
}

/// The calls that have happened: the other side refuses those of a claim before one that has asked.
#[must_use]
pub fn happened(calls: &[Call]) -> Vec<&Call> {
    let mut fences: HashMap<&str, u64> = HashMap::new();
    let mut happened = Vec::new();
    for call in calls {
        let fence = fences.entry(&call.key).or_default();
        if call.asks {
            *fence = (*fence).max(call.held.claims);
        } else if call.held.claims >= *fence {
            happened.push(call);
        }
    }
    happened
}

/// What a job's attempts wrote down, with when they did.
#[derive(Debug, Default)]
pub(super) struct Outside {
    resumed: Vec<(Held, Option<u64>)>,
    saved: Vec<(u64, u64)>,
    noted: Vec<(Held, u64)>,
    called: Vec<(Held, u64)>,
    children: BTreeSet<JobId>,
    committing: Vec<(Held, u64)>,
    committed: Vec<Held>,
}

impl Outside {
    pub(super) fn add(&mut self, at: u64, event: &Event) {
        match event {
            Event::Resumed { held, found } => self.resumed.push((*held, *found)),
            Event::Saved { value, .. } => self.saved.push((at, *value)),
            Event::Noting { held, name } if name.starts_with("effect/") => self.noted.push((*held, at)),
            Event::Calling { held } => self.called.push((*held, at)),
            Event::Announced { child, .. } => drop(self.children.insert(child.job)),
            Event::Committing { held } => self.committing.push((*held, at)),
            Event::Committed { held } => self.committed.push(*held),
            _ => {}
        }
    }

    /// Calls whose result nobody tried to note.
    pub(super) fn unresolved(&self) -> impl Iterator<Item = Held> {
        let noted = |(held, at): &(Held, u64)| self.noted.iter().any(|(by, then)| by == held && then > at);
        self.called.iter().filter(move |call| !noted(call)).map(|(held, _)| *held)
    }

    pub(super) fn was_resumed(&self) -> bool {
        self.resumed.iter().any(|(_, found)| found.is_some())
    }

    pub(super) fn committed(&self) -> impl Iterator<Item = Held> {
        self.committed.iter().copied()
    }

    pub(super) fn may_be_committed(&self) -> bool {
        !self.committing.is_empty()
    }

    pub(super) fn tried_to_commit(&self, held: Held) -> bool {
        self.committing.iter().any(|(by, _)| *by == held)
    }
}

/// How a job has ended, as far as the world outside is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Dead,
    /// Never stored, or not over.
    Open,
}

pub(super) fn rules(facts: &Facts, dump: &Dump, found: &mut Found) {
    let kept: HashMap<JobId, JobState> = dump.jobs.iter().map(|k| (k.job, k.state)).collect();
    let mut calls: BTreeMap<JobId, Vec<&Call>> = BTreeMap::new();
    for call in happened(&dump.calls) {
        calls.entry(call.held.job).or_default().push(call);
    }
    for (&id, job) in &facts.jobs {
        let Some(Conduct::Outside(reach)) = job.asked.as_ref().map(|a| a.conduct) else { continue };
        found.job = Some(id);
        let end = match kept.get(&id) {
            None if job.existed() => End::Completed,
            Some(JobState::Completed) => End::Completed,
            Some(JobState::Dead) => End::Dead,
            _ => End::Open,
        };
        match reach {
            Reach::Transaction => transaction(id, job, end, &dump.rows, found),
            _ => effect(reach, job, end, calls.get(&id).map_or(&[], Vec::as_slice), found),
        }
        follow_ups(facts, &kept, job, end, found);
        checkpoints(job, found);
    }
    keys(&dump.calls, found);
    found.job = None;
}

fn effect(reach: Reach, job: &JobFacts, end: End, calls: &[&Call], found: &mut Found) {
    if end == End::Completed && calls.is_empty() {
        found.add(Rule::EffectSkipped, "it has completed, and its effect was never called");
    }
    if calls.len() > 1 && matches!(reach, Reach::AtMostOnce | Reach::Verified) {
        let claims: Vec<u64> = calls.iter().map(|c| c.held.claims).collect();
        found.add(Rule::EffectTwice, format!("called by the claims {claims:?}, by {}", calls[0].via));
    }
    if reach == Reach::AtMostOnce
        && end == End::Completed
        && let Some(held) = job.outside.unresolved().next()
    {
        let text = format!("claim {} did not get to note what came of its call", held.claims);
        found.add(Rule::DoubtIgnored, text);
    }
}

/// One key stands for one effect of one job, in all of its attempts.
fn keys(calls: &[Call], found: &mut Found) {
    let (mut of_job, mut of_key) = (BTreeMap::new(), BTreeMap::new());
    for call in calls {
        found.job = Some(call.held.job);
        let first: &mut &str = of_job.entry(call.held.job).or_insert(&call.key);
        if *first != call.key {
            found.add(Rule::EffectKeys, format!("called with {first} and with {}", call.key));
        }
        let owner = of_key.entry(&call.key).or_insert(call.held.job);
        if *owner != call.held.job {
            found.add(Rule::EffectKeys, format!("{} is the key of {owner} too", call.key));
        }
    }
}

/// The row of the transaction and the completion are one.
fn transaction(id: JobId, job: &JobFacts, end: End, rows: &[JobId], found: &mut Found) {
    let rows = rows.iter().filter(|row| **row == id).count();
    if rows != usize::from(end == End::Completed) {
        found.add(Rule::Torn, format!("{rows} rows of a job that is {end:?}"));
    }
    for held in job.outside.committed() {
        for newer in job.claims.iter().filter(|c| c.held.claims > held.claims) {
            let text = format!("claim {} was completed, then came claim {}", held.claims, newer.held.claims);
            found.add(Rule::RanAfterEnd, text);
        }
    }
}

/// What was announced came with the completion, once: attempts that did not complete have announced other jobs.
fn follow_ups(facts: &Facts, kept: &HashMap<JobId, JobState>, job: &JobFacts, end: End, found: &mut Found) {
    let there = |child: &&JobId| {
        kept.contains_key(child) || facts.jobs.get(child).is_some_and(|j| !j.claims.is_empty())
    };
    let there = job.outside.children.iter().filter(there).count();
    if there != usize::from(end == End::Completed) {
        let announced = job.outside.children.len();
        found.add(Rule::FollowUp, format!("{there} of {announced} announced for a job that is {end:?}"));
    }
}

/// What the store had acknowledged before an attempt was claimed, or something newer, is what that attempt finds.
fn checkpoints(job: &JobFacts, found: &mut Found) {
    for (held, value) in &job.outside.resumed {
        let Some(claim) = job.claims.iter().find(|c| c.held == *held) else { continue };
        let before = job.outside.saved.iter().filter(|(at, _)| *at < claim.sent);
        let newest = before.map(|(_, value)| *value).max();
        if *value < newest {
            let text = format!("claim {} found {value:?}, when {newest:?} was saved", held.claims);
            found.add(Rule::CheckpointLost, text);
        }
    }
}
