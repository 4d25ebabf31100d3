//! What holds for jobs under a limit, and in ordered lines.

use super::Rule;
use super::facts::{Facts, JobFacts};
use super::rules::Found;
use job_core::JobId;
use std::collections::BTreeMap;

/// In every run a lease lasts at least this long after it was asked for; longer if it is extended, of which nothing is said here.
const SURELY_NS: u64 = 500_000_000;

pub(super) fn rules(facts: &Facts, found: &mut Found) {
    concurrency(facts, found);
    lines(facts, found);
}

/// There are never more live leases than the limit allows. Only what is sure counts: from when a claim was answered until its
/// verdict was sent, for as long as its lease lasts without an extension.
fn concurrency(facts: &Facts, found: &mut Found) {
    let mut edges: Vec<(u64, i64, JobId)> = Vec::new();
    let mut most = None;
    for (&id, job) in &facts.jobs {
        let Some(limit) = job.asked.as_ref().and_then(|asked| asked.under.concurrency) else { continue };
        most = Some(limit);
        for (n, claim) in job.claims.iter().enumerate() {
            // A claim that is repeated is the same lease.
            if job.claims[..n].iter().any(|earlier| earlier.held == claim.held) {
                continue;
            }
            let told = job.verdicts.iter().filter(|v| v.held == claim.held).map(|v| v.sent).min();
            let until = told.unwrap_or(u64::MAX).min(claim.sent + SURELY_NS);
            // A server that is killed may forget its last claims, and give their room to others.
            if claim.at < until && !facts.server_killed_between(claim.sent, until) {
                edges.push((claim.at, 1, id));
                edges.push((until, -1, id));
            }
        }
    }
    let Some(most) = most.and_then(|most| i64::try_from(most).ok()) else { return };
    edges.sort_unstable();
    let mut held = 0;
    for (at, change, id) in edges {
        held += change;
        if change > 0 && held > most {
            found.job = Some(id);
            found.add(Rule::OverLimit, format!("{held} leases at {} ms, {most} are allowed", at / 1_000_000));
        }
    }
    found.job = None;
}

/// A job of an ordered line is claimed only when the one that the same producer enqueued before it has ended.
fn lines(facts: &Facts, found: &mut Found) {
    let mut by_line: BTreeMap<(u64, &str), Vec<(u64, JobId, &JobFacts)>> = BTreeMap::new();
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
