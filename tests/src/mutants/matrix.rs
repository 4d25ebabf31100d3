//! `docs/detection-matrix.md`: written by the full run, read by the quick one.

use super::registry::Bug;
use super::suites::Suite;
use std::fmt::Write as _;
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
    /// The quickest test that fails alone, every time.
    pub quickest: Option<(Suite, String, Duration)>,
    /// How many tests fail in which suite; `None` if it had to be stopped.
    pub failing: Vec<(Suite, Option<usize>)>,
}

impl Row {
    /// True if a test fails with the defect.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        !self.failing.is_empty()
    }

    fn render(&self, text: &mut String) {
        let Bug { name, file, breaks } = self.bug;
        let mut by = match &self.quickest {
            Some((suite, test, _)) => format!("`{} {test}`", suite.name()),
            None if self.is_caught() => "no test alone".to_owned(),
            None => "**nothing**".to_owned(),
        };
        for (suite, failing) in &self.failing {
            let count = failing.map_or("stopped".to_owned(), |n| n.to_string());
            // Writing to a String cannot fail.
            let _ = write!(by, "; {} {count}", suite.name());
        }
        let took = self
            .quickest
            .as_ref()
            .map_or("-".to_owned(), |(_, _, took)| format!("{:.1}", took.as_secs_f64()));
        let _ = writeln!(text, "| `{name}` | {file} | {breaks} | {by} | {took} |");
    }
}

/// The whole file; `old` is what it was, for the part that is written by hand.
#[must_use]
pub fn render(rows: &[Row], old: &str) -> String {
    let mut text = INTRODUCTION.to_owned();
    let caught = rows.iter().filter(|r| r.is_caught()).count();
    let _ = writeln!(text, "\n{caught} of {} defects are caught.\n", rows.len());
    text.push_str("| defect | where | what it breaks | caught by | s |\n|---|---|---|---|---|\n");
    for row in rows {
        row.render(&mut text);
    }
    let rest = old.split_once(END).map_or("\n", |(_, rest)| rest);
    let _ = write!(text, "\n{END}{rest}");
    text
}

/// The quickest test of each defect, as the file has it.
#[must_use]
pub fn quickest(text: &str) -> Vec<(String, Suite, String)> {
    let row = |line: &str| {
        let cells: Vec<_> = line.split(" | ").collect();
        let name = cells.first()?.strip_prefix("| `")?.strip_suffix('`')?;
        let (suite, test) = cells.get(3)?.strip_prefix('`')?.split('`').next()?.split_once(' ')?;
        Some((name.to_owned(), Suite::named(suite)?, test.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bug = Bug { name: "b", file: "f.rs", breaks: "everything" };
        let quickest = Some((Suite::Log, "a::b".to_owned(), Duration::from_millis(1_260)));
        let rows = [
            Row { bug, quickest, failing: vec![(Suite::Log, Some(2)), (Suite::Stress, None)] },
            Row { bug: Bug { name: "c", ..bug }, quickest: None, failing: Vec::new() },
        ];
        let text = render(&rows, &format!("old\n{END}\nby hand"));
        assert!(text.contains("| `b` | f.rs | everything | `backend-postgres/log a::b`; backend-postgres/log 2; backend-postgres/stress stopped | 1.3 |"), "{text}");
        assert!(text.contains("1 of 2 defects") && text.contains("**nothing**"), "{text}");
        assert!(text.ends_with("\nby hand") && !text.contains("old"), "{text}");
        assert_eq!(super::quickest(&text), [("b".to_owned(), Suite::Log, "a::b".to_owned())]);
    }
}
