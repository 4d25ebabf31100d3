//! The histories, sorted by job.

use super::event::{Answered, Asked, Event, Held, Outcome, Sent, Word};
use super::outside::Outside;
use super::point::Action;
use super::storm::Storm;
use super::{Rule, Told, Violation};
use job_core::{JobId, LeaseId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Everything that was written down.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) jobs: BTreeMap<JobId, JobFacts>,
    /// Idempotency key to the jobs that stand for it.
    pub(super) keys: BTreeMap<String, BTreeSet<JobId>>,
    pub(super) repaired: u64,
    /// How many jobs of a lease run at a time, where some were taken ahead of a limit.
    pub(super) slots: HashMap<LeaseId, u32>,
    /// Calls whose outcome their caller never learned.
    pub(super) unknown: u64,
    pub(super) mismatched: Vec<Violation>,
    /// When each process was killed, by its place in the list.
    pub(super) deaths: BTreeMap<usize, u64>,
    /// From when to when each worker was there.
    pub(super) lives: Vec<(u64, u64)>,
    /// From when to when the server or the network was harmed.
    pub(super) storms: Vec<(u64, u64)>,
    /// Those in which the server was killed.
    pub(super) server_kills: Vec<(u64, u64)>,
}

/// What is known of one job.
#[derive(Debug, Default)]
pub(super) struct JobFacts {
    pub(super) asked: Option<Asked>,
    /// When it was first sent.
    pub(super) sent: u64,
    pub(super) acked: bool,
    /// When somebody first heard so.
    pub(super) acked_at: Option<u64>,
    /// An enqueue of it has no answer, or one that says "unknown".
    pub(super) maybe: bool,
    /// Its caller was told that another job stands for it.
    pub(super) deduplicated: bool,
    pub(super) claims: Vec<ClaimFact>,
    pub(super) starts: Vec<StartFact>,
    pub(super) effects: u64,
    pub(super) outside: Outside,
    pub(super) ends: Vec<EndFact>,
    pub(super) verdicts: Vec<VerdictFact>,
    pub(super) over: Vec<(Held, u64)>,
}

impl JobFacts {
    /// True if the store has had it.
    pub(super) fn existed(&self) -> bool {
        self.acked || !self.claims.is_empty()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimFact {
    pub(super) held: Held,
    pub(super) by: usize,
    /// When the request was sent, and when its answer was written down.
    pub(super) sent: u64,
    pub(super) at: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct StartFact {
    pub(super) held: Held,
    pub(super) by: usize,
    pub(super) n: u64,
    pub(super) at: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct EndFact {
    pub(super) held: Held,
    pub(super) outcome: Outcome,
    pub(super) at: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct VerdictFact {
    pub(super) held: Held,
    pub(super) word: Word,
    pub(super) sent: u64,
    /// The process was frozen between writing it down and sending it.
    pub(super) frozen: bool,
    pub(super) fate: VerdictFate,
    pub(super) answered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VerdictFate {
    /// The process was killed before it sent it.
    NeverSent,
    /// Sent; it may have been applied or not.
    Unknown,
    /// The store says that nothing was changed.
    NotApplied,
    Answered(Answered),
}

impl VerdictFact {
    pub(super) fn is(&self, answer: Answered) -> bool {
        self.fate == VerdictFate::Answered(answer)
    }

    /// True if the store may have applied it, in this call or an earlier one.
    pub(super) fn may_be_applied(&self) -> bool {
        matches!(
            self.fate,
            VerdictFate::Unknown | VerdictFate::Answered(Answered::Applied | Answered::AlreadyApplied)
        )
    }
}

/// How a call ended, by its number.
#[derive(Default)]
struct Calls {
    settled: HashMap<u64, (u64, Vec<Answered>)>,
    settle_failed: HashMap<u64, bool>,
    enqueued: HashSet<u64>,
    enqueue_failed: HashMap<u64, bool>,
    killed_before: HashSet<u64>,
    frozen_before: HashSet<u64>,
}

impl Calls {
    fn of(told: &Told) -> Self {
        let mut calls = Self::default();
        for record in &told.records {
            match &record.event {
                Event::SettleAnswered { call, answers } => {
                    calls.settled.insert(*call, (record.at, answers.clone()));
                }
                Event::SettleFailed { call, unknown } => {
                    calls.settle_failed.insert(*call, *unknown);
                }
                Event::EnqueueAcked { call, .. } => {
                    calls.enqueued.insert(*call);
                }
                Event::EnqueueFailed { call, unknown } => {
                    calls.enqueue_failed.insert(*call, *unknown);
                }
                Event::Reached { action: Action::Kill, unsent: Some(call), .. } => {
                    calls.killed_before.insert(*call);
                }
                Event::Reached { action: Action::Freeze, unsent: Some(call), .. } => {
                    calls.frozen_before.insert(*call);
                }
                _ => {}
            }
        }
        calls
    }

    fn fate(&self, call: u64, at: usize) -> (VerdictFate, u64) {
        if let Some((answered, answers)) = self.settled.get(&call) {
            let fate = answers.get(at).map_or(VerdictFate::Unknown, |a| VerdictFate::Answered(*a));
            return (fate, *answered);
        }
        let fate = if self.killed_before.contains(&call) {
            VerdictFate::NeverSent
        } else if self.settle_failed.get(&call) == Some(&false) {
            VerdictFate::NotApplied
        } else {
            VerdictFate::Unknown
        };
        (fate, u64::MAX)
    }
}

impl Facts {
    /// True if the server was killed between these times: it may have forgotten claims, which are not flushed to disk.
    pub(super) fn server_killed_between(&self, from: u64, to: u64) -> bool {
        self.server_kills.iter().any(|(began, ended)| *began < to && *ended > from)
    }

    pub(super) fn gather(told: &[Told]) -> Self {
        let mut facts = Self::default();
        let calls: Vec<Calls> = told.iter().map(Calls::of).collect();
        // What was asked for comes first: whoever heard of a job may be listed before whoever asked for it.
        for (told, calls) in told.iter().zip(&calls) {
            for record in &told.records {
                if let Event::EnqueueSent { call, jobs } = &record.event {
                    facts.enqueue_sent(record.at, *call, jobs, calls);
                }
            }
        }
        let names: HashMap<&str, usize> =
            told.iter().enumerate().map(|(by, t)| (t.by.as_str(), by)).collect();
        for record in told.iter().flat_map(|t| &t.records) {
            if let Event::Killed { name } = &record.event
                && let Some(by) = names.get(name.as_str())
            {
                facts.deaths.insert(*by, record.at);
            }
        }
        for (by, (told, calls)) in told.iter().zip(&calls).enumerate() {
            for record in &told.records {
                facts.add(by, record.at, &record.event, calls);
            }
            let works = told.records.iter().any(|r| matches!(r.event, Event::Claimed { .. }));
            if let (true, Some(first), Some(last)) = (works, told.records.first(), told.records.last()) {
                facts.lives.push((first.at, facts.deaths.get(&by).copied().unwrap_or(last.at)));
            }
        }
        facts
    }

    fn job(&mut self, job: JobId) -> &mut JobFacts {
        self.jobs.entry(job).or_default()
    }

    fn add(&mut self, by: usize, at: u64, event: &Event, calls: &Calls) {
        match event {
            Event::EnqueueAcked { answers, .. } => {
                for answer in answers {
                    self.holds_key(answer.asked, answer.job);
                    let job = self.job(answer.job);
                    job.acked = true;
                    job.acked_at = Some(job.acked_at.map_or(at, |earlier| earlier.min(at)));
                    self.job(answer.asked).deduplicated |= answer.job != answer.asked;
                }
            }
            Event::Claimed { sent, holds, slots } => {
                for &held in holds {
                    self.slots.extend(slots.map(|slots| (held.lease, slots)));
                    self.holds_key(held.job, held.job);
                    self.job(held.job).claims.push(ClaimFact { held, by, sent: *sent, at });
                }
            }
            Event::Started { held, n, .. } => {
                self.job(held.job).starts.push(StartFact { held: *held, by, n: *n, at });
            }
            Event::Announced { held, child } => {
                let job = self.job(child.job);
                (job.asked, job.sent, job.maybe) = (Some(child.clone()), at, true);
                self.job(held.job).outside.add(at, event);
            }
            Event::Resumed { held, .. }
            | Event::Saved { held, .. }
            | Event::Noting { held, .. }
            | Event::Calling { held }
            | Event::Committing { held }
            | Event::Committed { held } => self.job(held.job).outside.add(at, event),
            Event::Effect { held } => self.job(held.job).effects += 1,
            Event::Ended { held, outcome } => {
                self.job(held.job).ends.push(EndFact { held: *held, outcome: *outcome, at });
            }
            Event::Over { held } => self.job(held.job).over.push((*held, at)),
            Event::SettleSent { call, verdicts } => {
                self.settle_sent(at, *call, verdicts, calls);
            }
            Event::Maintained { repaired, .. } => self.repaired += repaired,
            Event::Reached { action: Action::Kill, .. } => {
                self.deaths.insert(by, at);
            }
            Event::Storm { what, began } => {
                self.storms.push((*began, at));
                if *what == Storm::ServerKilled {
                    self.server_kills.push((*began, at));
                }
            }
            _ => {}
        }
    }

    fn settle_sent(&mut self, at: u64, call: u64, verdicts: &[Sent], calls: &Calls) {
        if let Some((_, answers)) = calls.settled.get(&call)
            && answers.len() != verdicts.len()
        {
            let text = format!("{} verdicts, {} answers", verdicts.len(), answers.len());
            self.mismatched.push(Violation { rule: Rule::AnswerLength, job: None, text });
        }
        for (i, verdict) in verdicts.iter().enumerate() {
            let (fate, answered) = calls.fate(call, i);
            self.job(verdict.held.job).verdicts.push(VerdictFact {
                held: verdict.held,
                word: verdict.word,
                sent: at,
                frozen: calls.frozen_before.contains(&call),
                fate,
                answered,
            });
            self.unknown += u64::from(i == 0 && fate == VerdictFate::Unknown);
        }
    }

    /// The key of `asked` stands for `job`.
    fn holds_key(&mut self, asked: JobId, job: JobId) {
        if let Some(key) = self.job(asked).asked.as_ref().and_then(|a| a.key.clone()) {
            self.keys.entry(key).or_default().insert(job);
        }
    }

    fn enqueue_sent(&mut self, at: u64, call: u64, jobs: &[Asked], calls: &Calls) {
        let failed = calls.enqueue_failed.get(&call);
        let unknown = failed == Some(&true) || (failed.is_none() && !calls.enqueued.contains(&call));
        self.unknown += u64::from(unknown);
        for asked in jobs {
            let job = self.job(asked.job);
            job.sent = if job.asked.is_none() { at } else { job.sent.min(at) };
            job.maybe |= unknown;
            job.asked = Some(asked.clone());
        }
    }
}
