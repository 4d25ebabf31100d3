//! The full run and the quick one.

use super::matrix::{self, Known, Row};
use super::registry::Bug;
use super::suites::{Programs, Run, Suite};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many tests of a suite are tried alone, to find the quickest.
const CANDIDATES: usize = 3;

/// How often a test has to fail alone to count.
const REPEATS: usize = 3;

/// How many tests run at the same time: they mostly wait.
const AT_ONCE: usize = 3;

/// Does `work` for each item, some at a time. In the order of the items.
fn some_at_once<T: Sync, U: Send>(items: &[T], work: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((n, item)) = items.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let result = work(item);
                    done.lock().expect("no panic while it is held").push((n, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic while it is held");
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Every suite without a defect: what fails then proves nothing.
fn clean(programs: &Programs, tests: &BTreeMap<Suite, Vec<String>>) -> Result<bool, Error> {
    let suites: Vec<_> = tests.iter().collect();
    let mut good = true;
    for ((suite, tests), run) in suites.iter().zip(some_at_once(&suites, |(s, t)| programs.run(**s, t, None)))
    {
        let run = run?;
        let all = run.passed && !run.late && run.ended >= tests.len().max(1);
        println!(
            "{:<30} {} tests without a defect: {}",
            suite.name(),
            run.ended,
            if all { "pass" } else { "FAIL" }
        );
        for test in &run.failed {
            println!("  {test} fails");
        }
        if run.passed && !all {
            println!(
                "  of {tests:?} some are gone: take their rows out of the matrix, and run ./dev mutants again"
            );
        }
        good &= all;
    }
    Ok(good)
}

/// The tests of `known`, suite by suite.
fn by_suite<'a>(known: impl Iterator<Item = &'a Known>) -> BTreeMap<Suite, Vec<String>> {
    let mut tests: BTreeMap<Suite, Vec<String>> = BTreeMap::new();
    for Known { suite, test, .. } in known {
        let of_suite = tests.entry(*suite).or_default();
        if !of_suite.contains(test) {
            of_suite.push(test.clone());
        }
    }
    tests
}

/// Shows these defects to the tests that saw them before, and those that have no such test, or are no longer seen by it,
/// to every suite that could see them. `None` if a test fails without a defect.
///
/// # Errors
/// If a program cannot be run.
pub fn full(
    programs: &Programs,
    bugs: &[Bug],
    known: &HashMap<String, Known>,
) -> Result<Option<Vec<Row>>, Error> {
    let named: Vec<_> = bugs.iter().filter_map(|b| Some((*b, known.get(b.name)?))).collect();
    if !clean(programs, &by_suite(named.iter().map(|(_, k)| *k)))? {
        return Ok(None);
    }
    let again = some_at_once(&named, |(bug, known)| {
        let took = alone(programs, known.suite, &known.test, *bug)?;
        println!("{:<32} {} {took:.1?}", bug.name, known.test);
        let row = |took| Row {
            bug: *bug,
            quickest: Some(((*known).clone(), took)),
            failing: known.failing.clone(),
        };
        Ok(took.map(row))
    });
    let again: Vec<Option<Row>> = again.into_iter().collect::<Result<_, Error>>()?;
    let mut rows: Vec<Row> = again.into_iter().flatten().collect();
    let rest: Vec<_> =
        bugs.iter().copied().filter(|b| rows.iter().all(|row| row.bug.name != b.name)).collect();
    let suites: BTreeSet<Suite> = rest.iter().flat_map(Bug::suites).copied().collect();
    if !clean(programs, &suites.into_iter().map(|s| (s, Vec::new())).collect())? {
        return Ok(None);
    }
    for row in some_at_once(&rest, |bug| look(programs, *bug)) {
        rows.push(row?);
    }
    Ok(Some(rows))
}

/// Shows one defect to its suites.
fn look(programs: &Programs, bug: Bug) -> Result<Row, Error> {
    let mut failing = String::new();
    let mut runs: Vec<(Suite, Run)> = Vec::new();
    for &suite in bug.suites() {
        let run = programs.run(suite, &[], Some(bug.name))?;
        if !run.passed {
            failing += &matrix::failing(suite, (!run.late).then_some(run.failed.len()));
            runs.push((suite, run));
        }
    }
    let mut quickest: Option<(Known, Duration)> = None;
    for (suite, run) in runs {
        for test in run.failed.iter().take(CANDIDATES) {
            if let Some(took) = alone(programs, suite, test, bug)?
                && quickest.as_ref().is_none_or(|(_, best)| took < *best)
            {
                quickest = Some((Known { suite, test: test.clone(), failing: failing.clone() }, took));
            }
        }
        // The later suites are slower.
        if quickest.is_some() {
            break;
        }
    }
    println!("{:<32} {}{failing}", bug.name, quickest.as_ref().map_or("-", |(known, _)| &known.test));
    Ok(Row { bug, quickest, failing })
}

/// How long this test takes at most to fail by itself, if it does so every time.
fn alone(programs: &Programs, suite: Suite, test: &str, bug: Bug) -> Result<Option<Duration>, Error> {
    let mut longest = Duration::ZERO;
    for _ in 0..REPEATS {
        let run = programs.run(suite, &[test.to_owned()], Some(bug.name))?;
        if run.failed != [test] {
            return Ok(None);
        }
        longest = longest.max(run.took);
    }
    Ok(Some(longest))
}

/// Tries each defect against the one test that the matrix names. Returns what went wrong.
///
/// # Errors
/// If a program cannot be run.
pub fn quick(
    programs: &Programs,
    bugs: &[Bug],
    known: &HashMap<String, Known>,
) -> Result<Vec<String>, Error> {
    let named: Vec<_> = bugs.iter().filter_map(|b| Some((*b, known.get(b.name)?))).collect();
    let unnamed = bugs.iter().filter(|b| !known.contains_key(b.name));
    let mut wrong: Vec<_> =
        unnamed.map(|b| format!("{}: the matrix names no test; run ./dev mutants", b.name)).collect();
    if !clean(programs, &by_suite(named.iter().map(|(_, k)| *k)))? {
        wrong.push("tests fail without any defect".to_owned());
        return Ok(wrong);
    }
    let runs = some_at_once(&named, |(bug, known)| {
        programs.run(known.suite, std::slice::from_ref(&known.test), Some(bug.name))
    });
    for ((bug, known), run) in named.iter().zip(runs) {
        if run?.failed != [known.test.as_str()] {
            let (suite, test) = (known.suite.name(), &known.test);
            wrong.push(format!("{} ({}) is not seen by {suite} {test}", bug.name, bug.breaks));
        }
    }
    println!("{} defects tried", named.len());
    Ok(wrong)
}
