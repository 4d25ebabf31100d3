//! The rules.

use super::event::{Answered, Outcome, Under, Word};
use super::facts::{ClaimFact, Facts, JobFacts, VerdictFact, VerdictFate};
use super::{Dump, Kept, Rule, Violation};
use super::{fair, limits, outside};
use job_core::{DeadReason, JobId, JobState};
use std::collections::{BTreeMap, HashMap};

/// The store rounds its times, and its clock is not the one of the histories.
const CLOCK_SLACK_MS: u64 = 5;

pub(super) fn all(facts: &Facts, dump: &Dump) -> Vec<Violation> {
    let kept: HashMap<JobId, Kept> = dump.jobs.iter().map(|k| (k.job, *k)).collect();
    let mut found = Found::default();
    found.list.extend(facts.mismatched.iter().cloned());
    for (&id, job) in &facts.jobs {
        found.job = Some(id);
        origin(job, &mut found);
        end(job, kept.get(&id), &mut found);
        claims(facts, job, &mut found);
        starts(job, &mut found);
        fences(job, &mut found);
        repeats(job, &mut found);
        words(job, &mut found);
        times(job, &mut found);
    }
    batches(facts, &mut found);
    limits::rules(facts, &mut found);
    fair::rules(facts, &mut found);
    outside::rules(facts, dump, &mut found);
    for kept in dump.jobs.iter().filter(|k| !facts.jobs.contains_key(&k.job)) {
        found.job = Some(kept.job);
        found.add(Rule::Phantom, format!("the store has it, {}, and nobody asked for it", kept.state));
    }
    found.job = None;
    for (key, jobs) in facts.keys.iter().filter(|(_, jobs)| jobs.len() > 1) {
        found.add(Rule::KeyTwice, format!("{key} stands for {jobs:?}"));
    }
    if facts.repaired > 0 {
        found.add(Rule::Repaired, format!("{} stranded jobs were found by maintenance", facts.repaired));
    }
    order(facts, &mut found);
    totals(dump, &mut found);
    found.list
}

#[derive(Default)]
pub(super) struct Found {
    list: Vec<Violation>,
    pub(super) job: Option<JobId>,
}

impl Found {
    pub(super) fn add(&mut self, rule: Rule, text: impl Into<String>) {
        self.list.push(Violation { rule, job: self.job, text: text.into() });
    }
}

/// Somebody asked for it, and nobody was told that it is not there.
fn origin(job: &JobFacts, found: &mut Found) {
    match &job.asked {
        None => found.add(Rule::Phantom, "nobody asked for it"),
        Some(asked) => {
            for start in job.starts.iter().filter(|s| s.n != asked.n) {
                found.add(Rule::Phantom, format!("asked for with {}, run with {}", asked.n, start.n));
            }
        }
    }
    if !job.claims.is_empty() && job.deduplicated {
        found.add(Rule::RefusedButRan, "its caller was told that another job stands for it");
    } else if !job.claims.is_empty() && job.asked.is_some() && !job.acked && !job.maybe {
        found.add(Rule::RefusedButRan, "its caller was told that it is not stored");
    }
}

/// It ended once, as its handler said.
fn end(job: &JobFacts, kept: Option<&Kept>, found: &mut Found) {
    let applied = job.verdicts.iter().filter(|v| v.word.is_terminal() && v.is(Answered::Applied)).count();
    let applied = applied + job.outside.committed().count();
    if applied > 1 {
        found.add(Rule::TwoEnds, format!("{applied} verdicts that end it were applied"));
    }
    if job.acked && job.starts.is_empty() {
        found.add(Rule::NeverRan, "acknowledged, and no handler was called");
    }
    // What was applied is recognised when it is repeated, so a repeat that is refused says that it never was.
    let refused = |held| job.verdicts.iter().any(|v| v.held == held && v.is(Answered::Stale));
    let may = |word| {
        job.verdicts.iter().any(|v| {
            v.word == word && v.may_be_applied() && !(v.fate == VerdictFate::Unknown && refused(v.held))
        })
    };
    match kept {
        None if job.existed()
            && !may(Word::Complete)
            && !may(Word::Cancel)
            && !job.outside.may_be_committed() =>
        {
            found.add(Rule::Lost, "it is gone, and no verdict that could have ended it was applied");
        }
        Some(kept) if kept.state == JobState::Dead => {
            let in_doubt = kept.reason == Some(DeadReason::EffectInDoubt);
            if !may(if in_doubt { Word::DeadInDoubt } else { Word::DeadPermanent }) {
                let reason = kept.reason.map_or("no reason", |r| r.as_str());
                found.add(Rule::WrongEnd, format!("dead ({reason}), which its handler did not ask for"));
            }
            let completed = |v: &&VerdictFact| v.word == Word::Complete && v.is(Answered::Applied);
            if job.verdicts.iter().any(|v| completed(&v)) {
                found.add(Rule::TwoEnds, "dead, though it had completed");
            }
        }
        Some(kept) if kept.state == JobState::Completed && !may(Word::Complete) => {
            found.add(Rule::WrongEnd, "kept as completed, which no verdict said");
        }
        Some(kept) if kept.state != JobState::Completed => {
            found.add(Rule::Stranded, format!("still {} when everything is over", kept.state));
        }
        _ => {}
    }
}

/// Claims are numbered upwards, and each has one holder. A server that is killed may forget a claim, and number another
/// one the same; its lease is a different one.
fn claims(facts: &Facts, job: &JobFacts, found: &mut Found) {
    for (i, a) in job.claims.iter().enumerate() {
        for b in &job.claims[i + 1..] {
            let same = a.held.lease == b.held.lease;
            if !same && facts.server_killed_between(a.sent.min(b.sent), a.at.max(b.at)) {
                continue;
            }
            if a.held.claims == b.held.claims && (!same || a.by != b.by) {
                found.add(Rule::TwoHolders, format!("claim {} was given twice", a.held.claims));
            }
            let (first, second) = if a.at <= b.at { (a, b) } else { (b, a) };
            if !same && first.at < second.sent && first.held.claims > second.held.claims {
                let text = format!("claim {} came after claim {}", second.held.claims, first.held.claims);
                found.add(Rule::ClaimsWentBack, text);
            }
        }
    }
}

/// A handler runs under a claim of its own process, once.
fn starts(job: &JobFacts, found: &mut Found) {
    for (i, start) in job.starts.iter().enumerate() {
        if !job.claims.iter().any(|c| c.held == start.held && c.by == start.by) {
            let text = format!("run under claim {}, which its process never got", start.held.claims);
            found.add(Rule::Phantom, text);
        }
        if job.starts[..i].iter().any(|s| s.held == start.held) {
            found.add(Rule::RanTwiceInOneClaim, format!("claim {}", start.held.claims));
        }
    }
}

/// No verdict of an older claim takes effect once there is a newer one, and none after the lease was over.
fn fences(job: &JobFacts, found: &mut Found) {
    for verdict in job.verdicts.iter().filter(|v| v.is(Answered::Applied)) {
        let own = job.claims.iter().filter(|c| c.held == verdict.held).map(|c| c.at).min();
        let newer = |c: &&ClaimFact| {
            let same_number = c.held.claims == verdict.held.claims && c.held.lease != verdict.held.lease;
            c.held.claims > verdict.held.claims || (same_number && own.is_some_and(|at| at < c.sent))
        };
        for newer in job.claims.iter().filter(newer) {
            let (old, new) = (verdict.held.claims, newer.held.claims);
            if newer.at < verdict.sent {
                let text = format!("{:?} of claim {old} was applied after claim {new}", verdict.word);
                found.add(Rule::StaleAccepted, text);
            } else if verdict.word.is_terminal() {
                let text = format!("{:?} of claim {old} was applied, then came claim {new}", verdict.word);
                found.add(Rule::RanAfterEnd, text);
            }
        }
        // The process wrote its verdict down, was frozen, and sent it only after somebody saw its lease gone.
        let over = job.over.iter().any(|(held, at)| *held == verdict.held && *at < verdict.answered);
        if verdict.frozen && over {
            let text = format!("{:?} of claim {} after its lease", verdict.word, verdict.held.claims);
            found.add(Rule::StaleAccepted, text);
        }
    }
}

/// A repeat is told from a first time.
fn repeats(job: &JobFacts, found: &mut Found) {
    for verdict in &job.verdicts {
        let earlier = |v: &&VerdictFact| v.held == verdict.held && v.sent < verdict.sent;
        let mut earlier = job.verdicts.iter().filter(earlier);
        let bad = if job.outside.tried_to_commit(verdict.held) {
            // The runtime asks by a verdict whether the transaction was committed.
            verdict.is(Answered::Applied) && job.outside.committed().any(|held| held == verdict.held)
        } else if verdict.is(Answered::AlreadyApplied) {
            !earlier.any(|v| v.may_be_applied())
        } else if verdict.is(Answered::Stale) || verdict.is(Answered::Applied) {
            earlier.any(|v| v.is(Answered::Applied) && v.answered < verdict.sent)
        } else {
            false
        };
        if bad {
            let text = format!("{:?} of claim {}: {:?}", verdict.word, verdict.held.claims, verdict.fate);
            found.add(Rule::BadRepeat, text);
        }
    }
}

/// Verdicts say what handlers returned.
fn words(job: &JobFacts, found: &mut Found) {
    for verdict in &job.verdicts {
        let returned = job.ends.iter().find(|end| end.held == verdict.held).map(|end| end.outcome);
        let fits = match verdict.word {
            Word::Complete => returned == Some(Outcome::Ok),
            Word::DeadPermanent => returned == Some(Outcome::Permanent),
            Word::DeadInDoubt => returned == Some(Outcome::InDoubt),
            // The runtime asks whether the transaction was committed: then the job is gone.
            Word::Retry(_) if returned == Some(Outcome::Ok) => job.outside.tried_to_commit(verdict.held),
            Word::Snooze(_) => returned == Some(Outcome::Snoozed),
            Word::Retry(_) => returned == Some(Outcome::Failed),
            // One that was stopped because its lease was in doubt may have failed for that.
            Word::Release => matches!(returned, None | Some(Outcome::Failed)),
            Word::Cancel | Word::DeadOther => false,
        };
        if !fits {
            let text = format!("{:?} of claim {} for {returned:?}", verdict.word, verdict.held.claims);
            found.add(Rule::WrongEnd, text);
        }
    }
}

/// Nothing is claimed before its time.
fn times(job: &JobFacts, found: &mut Found) {
    let at_least = |ms: u64| ms.saturating_sub(CLOCK_SLACK_MS) * 1_000_000;
    if let Some(asked) = &job.asked {
        for claim in job.claims.iter().filter(|c| c.at < job.sent + at_least(asked.delay_ms)) {
            let after = (claim.at - job.sent.min(claim.at)) / 1_000_000;
            let text = format!("asked for in {} ms, claimed after {after} ms", asked.delay_ms);
            found.add(Rule::Early, text);
        }
    }
    for verdict in job.verdicts.iter().filter(|v| v.word.pause_ms() > 0 && v.is(Answered::Applied)) {
        let due = verdict.sent + at_least(verdict.word.pause_ms());
        for claim in job.claims.iter().filter(|c| c.held.claims > verdict.held.claims && c.at < due) {
            let text = format!("{:?} was followed too soon by claim {}", verdict.word, claim.held.claims);
            found.add(Rule::Early, text);
        }
    }
}

/// What waits for others runs after them.
fn batches(facts: &Facts, found: &mut Found) {
    for (&id, job) in &facts.jobs {
        let Some(first) = job.claims.iter().map(|c| c.at).min() else { continue };
        for member in job.asked.iter().flat_map(|a| &a.after) {
            let ended = facts.jobs.get(member).is_some_and(|m| {
                m.verdicts.iter().any(|v| v.word == Word::Complete && v.may_be_applied() && v.sent < first)
            });
            if !ended {
                found.job = Some(id);
                found.add(Rule::BeforeTheOthers, format!("it was claimed, and {member} had not ended"));
            }
        }
    }
    found.job = None;
}

/// What one producer enqueued first is claimed first. Only what nothing but its turn could hold back is looked at: jobs
/// without a delay, at their very first claim.
fn order(facts: &Facts, found: &mut Found) {
    let mut first_claims: BTreeMap<u64, Vec<(u64, JobId, ClaimFact)>> = BTreeMap::new();
    for (id, job) in &facts.jobs {
        let Some(asked) = job.asked.as_ref().filter(|a| {
            a.delay_ms == 0
                && a.key.is_none()
                && a.after.is_empty()
                && a.under == Under::default()
                && !job.maybe
        }) else {
            continue;
        };
        let first = job.claims.iter().filter(|c| c.held.claims == 1).min_by_key(|c| c.at);
        if let Some(claim) = first.filter(|_| job.acked) {
            first_claims.entry(asked.n >> 32).or_default().push((job.sent, *id, *claim));
        }
    }
    for (_, mut jobs) in first_claims {
        jobs.sort_unstable_by_key(|(sent, id, _)| (*sent, *id));
        for (at, (sent, id, claim)) in jobs.iter().enumerate() {
            // Jobs of one call are not compared. The claim of the earlier one, of which nobody heard, may be forgotten.
            let earlier = jobs[..at].iter().find(|(before, _, late)| {
                before < sent && claim.at < late.sent && !facts.server_killed_between(claim.sent, late.sent)
            });
            if let Some((_, earlier, late)) = earlier {
                found.job = Some(*id);
                let after = (late.sent - claim.at) / 1_000_000;
                found.add(
                    Rule::OutOfOrder,
                    format!("it was claimed, and {after} ms later {earlier}, which was enqueued earlier"),
                );
            }
        }
    }
    found.job = None;
}

/// Nothing is left, by the store's own numbers.
fn totals(dump: &Dump, found: &mut Found) {
    if dump.pending > 0 {
        found.add(Rule::Stranded, format!("{} jobs by the numbers of the queue", dump.pending));
    }
    let dead = dump.jobs.iter().filter(|k| k.state == JobState::Dead).count() as u64;
    if dump.dead != dead {
        found.add(Rule::Leftover, format!("{} dead jobs by number, {dead} in the list", dump.dead));
    }
    for (what, rows) in dump.leftovers.iter().filter(|(_, rows)| *rows != 0) {
        found.add(Rule::Leftover, format!("{rows} of {what}"));
    }
}
