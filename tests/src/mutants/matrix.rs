//! `docs/detection-matrix.md`: written by the full run, read by the quick one.

use super::registry::Bug;
use super::suites::Suite;
use std::collections::HashMap;
use std::time::Duration;

/// Where the generated table ends; what follows is kept.
const END: &str = "<!-- end of the generated part -->";

const INTRODUCTION: &str = "\
# What the tests see

Written by `./dev mutants`, up to the mark below. Each row is a deliberate defect that a test build switches on by an
environment variable (`STEADFAST_BUG`). *Caught by* is the quickest test that fails with the defect, alone, every time it was
tried, and passes without it; then how many tests of which suite fail in all. *s* is what that one test takes.
`./dev mutants --quick` tries each defect against that test again.
";

/// One defect and who sees it.
#[derive(Debug)]
pub struct Row {
    /// The defect.
    pub bug: Bug,
    /// The quickest test that fails alone, every time, and how long it takes.
    pub quickest: Option<(Known, Duration)>,
    /// In words, how many tests of which suites fail.
    pub failing: String,
}

/// A test that sees a defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its suite.
    pub suite: Suite,
    /// Its name there.
    pub test: String,
    /// What else its row says of who fails.
    pub failing: String,
}

impl Row {
    /// True if a test fails with the defect.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.quickest.is_some() || !self.failing.is_empty()
    }

    fn line(&self) -> String {
        let Bug { name, file, breaks } = self.bug;
        let (by, took) = match &self.quickest {
            Some((known, took)) => {
                (format!("`{} {}`", known.suite.name(), known.test), format!("{:.1}", took.as_secs_f64()))
            }
            None if self.is_caught() => ("no test alone".to_owned(), "-".to_owned()),
            None => (NOTHING.to_owned(), "-".to_owned()),
        };
        format!("| `{name}` | {file} | {breaks} | {by}{} | {took} |", self.failing)
    }
}

/// How a row says how many tests of a suite fail; `None` if it had to be stopped.
#[must_use]
pub fn failing(suite: Suite, tests: Option<usize>) -> String {
    tests.map_or_else(|| format!("; {} stopped", suite.name()), |n| format!("; {} {n}", suite.name()))
}

/// What a row says of a defect that no test saw.
const NOTHING: &str = "**nothing**";

fn start(bug: &str) -> String {
    format!("| `{bug}` |")
}

/// The whole file for these defects: with these rows, and otherwise as it was, the part written by hand too.
#[must_use]
pub fn render(bugs: &[Bug], rows: &[Row], old: &str) -> String {
    let line = |bug: &Bug| match rows.iter().find(|r| r.bug.name == bug.name) {
        Some(row) => Some(row.line()),
        None => old.lines().find(|l| l.starts_with(&start(bug.name))).map(str::to_owned),
    };
    let lines: Vec<_> = bugs.iter().filter_map(line).collect();
    let caught = lines.iter().filter(|l| !l.contains(NOTHING)).count();
    let rest = old.split_once(END).map_or("\n", |(_, rest)| rest);
    format!(
        "{INTRODUCTION}\n{caught} of {} defects are caught.\n\n\
         | defect | where | what it breaks | caught by | s |\n|---|---|---|---|---|\n{}\n\n{END}{rest}",
        bugs.len(),
        lines.join("\n")
    )
}

/// The quickest test of each defect, as the file has it.
#[must_use]
pub fn known(text: &str) -> HashMap<String, Known> {
    let row = |line: &str| {
        let cells: Vec<_> = line.split(" | ").collect();
        let name = cells.first()?.strip_prefix("| `")?.strip_suffix('`')?;
        let (quickest, failing) = cells.get(3)?.strip_prefix('`')?.split_once('`')?;
        let (suite, test) = quickest.split_once(' ')?;
        let suite = Suite::named(suite)?;
        Some((name.to_owned(), Known { suite, test: test.to_owned(), failing: failing.to_owned() }))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bug = Bug { name: "b", file: "f.rs", breaks: "everything" };
        let (c, d) = (Bug { name: "c", ..bug }, Bug { name: "d", ..bug });
        let known = |test: &str, failing: String| Known { suite: Suite::Log, test: test.into(), failing };
        let failing = failing(Suite::Log, Some(2)) + &failing(Suite::Stress, None);
        let quickest = Some((known("a::b", failing.clone()), Duration::from_millis(1_260)));
        let rows = [
            Row { bug, quickest, failing: failing.clone() },
            Row { bug: c, quickest: None, failing: String::new() },
        ];
        let kept = "| `d` | f.rs | everything | `backend-postgres/log c`; backend-postgres/log 1 | 0.1 |";
        let gone = kept.replace("`d`", "`e`");
        let old = format!("old\n{kept}\n| `b` | was another |\n{gone}\n{END}\nby hand");
        let text = render(&[bug, c, d], &rows, &old);
        let first = "| `b` | f.rs | everything | `backend-postgres/log a::b`; backend-postgres/log 2; backend-postgres/stress stopped | 1.3 |";
        let second = "| `c` | f.rs | everything | **nothing** | - |";
        assert!(text.contains(&format!("{first}\n{second}\n{kept}\n\n{END}\nby hand")), "{text}");
        assert!(text.contains("2 of 3 defects") && !text.contains("old") && !text.contains(&gone), "{text}");
        let again = super::known(&text);
        assert_eq!(again.len(), 2);
        assert_eq!(again["b"], known("a::b", failing));
        assert_eq!(again["d"], known("c", "; backend-postgres/log 1".into()));
    }
}
