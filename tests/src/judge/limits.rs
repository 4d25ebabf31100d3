//! What holds for jobs under a limit, and in ordered lines.

use super::Rule;
use super::facts::{Facts, JobFacts};
use super::rules::Found;
use job_core::{JobId, LeaseId};
use std::collections::BTreeMap;

/// In every run a lease lasts at least this long after it was asked for; longer if it is extended, of which nothing is said here.
const SURELY_NS: u64 = 500_000_000;

pub(super) fn rules(facts: &Facts, found: &mut Found) {
    concurrency(facts, found);
    lines(facts, found);
}

/// There are never more live leases than the limit allows, where what was taken ahead counts with its slots; and never do more
/// handlers run. Only what is sure counts: from when a claim was answered until its verdict was sent, from when a handler
/// began until it said that it ended; both for as long as the lease lasts without an extension.
fn concurrency(facts: &Facts, found: &mut Found) {
    let (mut leases, mut handlers) = (Vec::new(), Vec::new());
    let mut most = None;
    for (&id, job) in &facts.jobs {
        let Some(limit) = job.asked.as_ref().and_then(|asked| asked.under.concurrency) else { continue };
        most = Some(limit);
        for (n, claim) in job.claims.iter().enumerate() {
            // A claim that is repeated is the same lease.
            if job.claims[..n].iter().any(|earlier| earlier.held == claim.held) {
                continue;
            }
            let surely = claim.sent + SURELY_NS;
            let told = job.verdicts.iter().filter(|v| v.held == claim.held).map(|v| v.sent).min();
            let began = job.starts.iter().find(|start| start.held == claim.held).map(|start| start.at);
            let ended = job.ends.iter().find(|end| end.held == claim.held).map(|end| end.at);
            let held = [(&mut leases, Some(claim.at), told.or(Some(surely))), (&mut handlers, began, ended)];
            for (spans, from, until) in held {
                let (Some(from), Some(until)) = (from, until.map(|until| until.min(surely))) else {
                    continue;
                };
                // A server that is killed may forget its last claims, and give their room to others.
                if from < until && !facts.server_killed_between(claim.sent, until) {
                    spans.push((from, 1, id, claim.held.lease));
                    spans.push((until, -1, id, claim.held.lease));
                }
            }
        }
    }
    let Some(most) = most.and_then(|most| i64::try_from(most).ok()) else { return };
    at_once(leases, "leases", most, |lease| facts.slots.get(&lease).copied(), found);
    at_once(handlers, "handlers", most, |_| None, found);
}

/// Finds where there are too many at one time. What shares slots counts with no more than those.
fn at_once(
    mut edges: Vec<(u64, i64, JobId, LeaseId)>,
    what: &str,
    most: i64,
    slots: impl Fn(LeaseId) -> Option<u32>,
    found: &mut Found,
) {
    edges.sort_unstable();
    let mut of_lease: BTreeMap<LeaseId, i64> = BTreeMap::new();
    let mut all = 0;
    for (at, change, id, lease) in edges {
        let count = of_lease.entry(lease).or_default();
        let counts = |count: i64| slots(lease).map_or(count, |slots| count.min(i64::from(slots)));
        all += counts(*count + change) - counts(*count);
        *count += change;
        if change > 0 && all > most {
            found.job = Some(id);
            found.add(Rule::OverLimit, format!("{all} {what} at {} ms, {most} are allowed", at / 1_000_000));
        }
    }
    found.job = None;
}

/// A job of an ordered line is claimed only when the one that the same producer enqueued before it has ended.
fn lines(facts: &Facts, found: &mut Found) {
    type Claimed<'a> = (u64, JobId, &'a JobFacts);
    let mut by_line: BTreeMap<(u64, &str), Vec<Claimed<'_>>> = BTreeMap::new();
    for (&id, job) in &facts.jobs {
        let Some(asked) = job.asked.as_ref().filter(|_| job.acked && !job.maybe) else { continue };
        let Some(line) = asked.under.line.as_deref() else { continue };
        by_line.entry((asked.n >> 32, line)).or_default().push((job.sent, id, job));
    }
    for ((_, line), mut jobs) in by_line {
        jobs.sort_unstable_by_key(|(sent, id, _)| (*sent, *id));
        for pair in jobs.windows(2) {
            let [(first_sent, _, first), (sent, id, second)] = pair else { continue };
            let Some(claimed) = second.claims.iter().map(|claim| claim.at).min() else { continue };
            let ended =
                first.verdicts.iter().any(|v| v.word.is_terminal() && v.may_be_applied() && v.sent < claimed);
            if first_sent < sent && !ended {
                found.job = Some(*id);
                found.add(
                    Rule::LineOutOfOrder,
                    format!("it was claimed, and the one before it in line {line} had not ended"),
                );
            }
        }
    }
    found.job = None;
}
