//! The full run and the quick one.

use super::matrix::{self, Row};
use super::registry::{self, Bug};
use super::suites::{Programs, Run, Suite};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many tests of a suite are tried alone, to find the quickest.
const CANDIDATES: usize = 3;

/// How often a test has to fail alone to count.
const REPEATS: usize = 3;

/// Does `work` for each item, two at a time: the tests mostly wait. In the order of the items.
fn two_at_once<T: Sync, U: Send>(items: &[T], work: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
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
    for ((suite, tests), run) in suites.iter().zip(two_at_once(&suites, |(s, t)| programs.run(**s, t, None)))
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
            println!("  {test}");
        }
        good &= all;
    }
    Ok(good)
}

/// Shows every defect (or those whose names contain `only`) to every suite that could see it.
///
/// # Errors
/// If a program cannot be run.
pub fn full(programs: &Programs, only: Option<&str>) -> Result<Option<Vec<Row>>, Error> {
    let bugs: Vec<Bug> =
        registry::all().into_iter().filter(|b| only.is_none_or(|o| b.name.contains(o))).collect();
    let suites: BTreeSet<Suite> = bugs.iter().flat_map(|b| b.suites()).copied().collect();
    let everything = suites.into_iter().map(|s| (s, Vec::new())).collect();
    if !clean(programs, &everything)? {
        return Ok(None);
    }
    let rows = two_at_once(&bugs, |bug| {
        let began = Instant::now();
        let row = look(programs, *bug);
        if let Ok(row) = &row {
            let how = row.quickest.as_ref().map_or("-", |(_, test, _)| test);
            let failing: Vec<_> = row.failing.iter().map(|(s, n)| (s.name(), n)).collect();
            println!("{:<32} {how} {failing:?} {:.0?}", bug.name, began.elapsed());
        }
        row
    });
    rows.into_iter().collect::<Result<_, _>>().map(Some)
}

/// Shows one defect to its suites.
fn look(programs: &Programs, bug: Bug) -> Result<Row, Error> {
    let mut failing = Vec::new();
    let mut runs: Vec<(Suite, Run)> = Vec::new();
    for &suite in bug.suites() {
        let run = programs.run(suite, &[], Some(bug.name))?;
        if !run.passed {
            failing.push((suite, (!run.late).then_some(run.failed.len())));
            runs.push((suite, run));
        }
    }
    let mut quickest: Option<(Suite, String, Duration)> = None;
    for (suite, run) in runs {
        for test in run.failed.iter().take(CANDIDATES) {
            if let Some(took) = alone(programs, suite, test, bug)?
                && quickest.as_ref().is_none_or(|(_, _, best)| took < *best)
            {
                quickest = Some((suite, test.clone(), took));
            }
        }
        // The later suites are slower.
        if quickest.is_some() {
            break;
        }
    }
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
pub fn quick(programs: &Programs, table: &str) -> Result<Vec<String>, Error> {
    let named: HashMap<_, _> =
        matrix::quickest(table).into_iter().map(|(bug, suite, test)| (bug, (suite, test))).collect();
    let mut wrong = Vec::new();
    let mut tests: BTreeMap<Suite, Vec<String>> = BTreeMap::new();
    let mut tried = Vec::new();
    for bug in registry::all() {
        match named.get(bug.name) {
            Some((suite, test)) => {
                let of_suite = tests.entry(*suite).or_default();
                if !of_suite.contains(test) {
                    of_suite.push(test.clone());
                }
                tried.push((bug, *suite, test.clone()));
            }
            None => wrong.push(format!("{}: the matrix names no test: run ./dev mutants", bug.name)),
        }
    }
    if !clean(programs, &tests)? {
        wrong.push("tests fail without any defect".to_owned());
        return Ok(wrong);
    }
    let runs = two_at_once(&tried, |(bug, suite, test)| {
        programs.run(*suite, std::slice::from_ref(test), Some(bug.name))
    });
    for ((bug, suite, test), run) in tried.iter().zip(runs) {
        if run?.failed != [test.as_str()] {
            wrong.push(format!("{} ({}) passes {} {test}", bug.name, bug.breaks, suite.name()));
        }
    }
    println!("{} defects, {} seen", tried.len(), tried.len() - wrong.len().min(tried.len()));
    Ok(wrong)
}
