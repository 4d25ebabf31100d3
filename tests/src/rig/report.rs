//! What a run gave, for people.

use super::run::{Options, Outcome};
use crate::judge::outside::Via;
use crate::judge::point::{Action, Point};
use crate::judge::storm::Storm;
use crate::judge::{Judgement, Recovery, Summary};
use std::fmt::Write as _;

/// Names and figures, in the order in which they are read.
fn rows(outcome: &Outcome) -> Vec<(String, String)> {
    let tally = &outcome.tally;
    let mut rows = vec![("kills".into(), tally.kills().to_string())];
    for point in Point::AROUND {
        rows.push((format!("  {point}"), tally.struck(point, Action::Kill).to_string()));
    }
    let within = |action| Point::within().map(|p| tally.struck(p, action)).sum::<u64>().to_string();
    rows.push(("  inside of the runtime or backend".into(), within(Action::Kill)));
    rows.push(("  at random".into(), tally.random.to_string()));
    rows.push(("frozen past their leases, then let go".into(), (tally.frozen).to_string()));
    rows.push(("  inside of the runtime or backend".into(), within(Action::Freeze)));
    rows.push(("answers lost inside of the backend".into(), within(Action::Lose)));
    rows.push(("calls that hung inside of the backend".into(), within(Action::Hang)));
    rows.push(("told to end (SIGTERM), and ended".into(), tally.told.to_string()));
    rows.push(("processes with a clock an hour off".into(), tally.clocks.to_string()));
    rows.push(("calls that the HTTP service refused".into(), tally.refused.to_string()));
    rows.push(("  or did not answer".into(), tally.unanswered.to_string()));
    for storm in Storm::ALL {
        if let Some(n) = tally.storms.get(&storm) {
            rows.push((storm.as_str().into(), n.to_string()));
        }
    }
    rows.extend(summary_rows(&outcome.judgement.summary));
    let [killing, draining] = outcome.took.map(|t| t.as_secs());
    rows.push(("seconds of kills".into(), killing.to_string()));
    rows.push(("seconds to finish what was left".into(), draining.to_string()));
    rows
}

fn summary_rows(summary: &Summary) -> Vec<(String, String)> {
    let by = |via| summary.calls.get(&via).copied().unwrap_or(0);
    let counts = [
        ("answers lost around calls", summary.answers_lost),
        ("leases reaped", summary.reaps),
        ("stale verdicts refused", summary.stale),
        ("repeated verdicts recognised", summary.already_applied),
        ("outcomes never learned", summary.unknown),
        ("requests deduplicated", summary.deduplicated),
        ("lease extensions", summary.extensions),
        ("jobs acknowledged", summary.acked),
        ("  run more than once", summary.ran_again),
        ("  with more than one effect", summary.effects_again),
        ("  lost", summary.lost),
        ("effects told to a file", by(Via::File)),
        ("  to the HTTP service", by(Via::Http)),
        ("  by rows of transactions", summary.rows),
        ("effects cut off before they were noted", summary.interrupted),
        ("  jobs dead because of that (in doubt)", summary.in_doubt),
        ("waits in a line while another had a turn", summary.passed),
        ("claims that took jobs ahead of a limit", summary.ahead),
        ("jobs resumed from a checkpoint", summary.resumed),
        ("jobs completed by a transaction", summary.committed),
    ];
    let mut rows: Vec<(String, String)> = counts.map(|(what, n)| (what.into(), n.to_string())).into();
    if summary.lost > 0 {
        let l = summary.losses;
        let text = format!("{} first, {} between, {} last", l.prefix, l.middle, l.postfix);
        rows.push(("  lost among those of their producers".into(), text));
    }
    let times = |r: &Recovery| format!("{} / {} / {} ms ({} jobs)", r.p50, r.p99, r.max, r.jobs);
    rows.push(("kill to re-run, p50 / p99 / max".into(), times(&summary.recovery)));
    rows.push(("  with a worker and no storm all the time".into(), times(&summary.calm_recovery)));
    rows
}

/// Prints a whole run.
pub fn print(outcome: &Outcome) {
    println!();
    for (what, figure) in rows(outcome) {
        println!("{what:<40} {figure:>8}");
    }
    print_violations(&outcome.judgement);
    for line in &outcome.timeline {
        println!("  {line}");
    }
    for complaint in &outcome.complaints {
        println!("WRONG   {complaint}");
    }
    println!("{}", verdict(outcome.is_good()));
}

/// Prints what histories alone tell.
pub(super) fn print_judgement(judgement: &Judgement) {
    for (what, figure) in summary_rows(&judgement.summary) {
        println!("{what:<40} {figure:>8}");
    }
    print_violations(judgement);
    println!("{}", verdict(judgement.violations.is_empty()));
}

fn print_violations(judgement: &Judgement) {
    let violations = &judgement.violations;
    for violation in violations.iter().take(20) {
        println!("BROKEN  {violation}");
    }
    if violations.len() > 20 {
        println!("BROKEN  … and {} more", violations.len() - 20);
    }
}

fn verdict(good: bool) -> &'static str {
    if good { "good: nothing lost, no stale verdict accepted" } else { "BAD" }
}

/// The same as a page.
pub(super) fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut page = String::new();
    let (kills, seed) = (options.kills, options.seed);
    let result = if outcome.is_good() { "0 violations" } else { "BAD" };
    // Writing to a String does not fail.
    let _ = writeln!(page, "# A run of the crash rig: {result}\n");
    let _ = writeln!(
        page,
        "{}, {} workers at a time, leases of {:?}, seed {seed}, at least {kills} kills. Made by `./dev rig`.\n",
        options.store.name(),
        options.workers,
        options.lease
    );
    let _ = writeln!(page, "| what | figure |\n|---|---|");
    for (what, figure) in rows(outcome) {
        let indented = what.replace("  ", "&nbsp;&nbsp;");
        let _ = writeln!(page, "| {indented} | {figure} |");
    }
    for violation in outcome.judgement.violations.iter().take(20) {
        let _ = writeln!(page, "\nBROKEN {violation}");
    }
    for complaint in &outcome.complaints {
        let _ = writeln!(page, "\nWRONG {complaint}");
    }
    page
}
