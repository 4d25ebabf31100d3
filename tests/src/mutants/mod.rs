//! Proof that the test suite can fail: deliberate defects, each switched on in turn, and which tests see it.

pub mod hunt;
pub mod matrix;
pub mod registry;
pub mod suites;

use crate::servers::{PostgresServer, RedisServer};
use std::collections::HashMap;
use std::fs;
use std::io::Error;
use std::path::Path;
use std::process::ExitCode;
use suites::Programs;

/// Where the matrix is, from the root of the workspace.
const MATRIX: &str = "docs/detection-matrix.md";

const HELP: &str = "\
mutants <messages of cargo test --no-run> [--all | --quick | name]: deliberate defects, and which tests see them

  (nothing)   every defect against the test that saw it before, else against every suite that could see it;
              writes docs/detection-matrix.md
  --all       every defect against every suite that could see it
  name        the same for those defects whose names contain it
  --quick     every defect once against the test that saw it before; writes nothing";

/// The whole program; to be run at the root of the workspace.
#[must_use]
pub fn main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [messages, rest @ ..] if !messages.starts_with('-') && rest.len() < 2 => {
            hunt_down(messages, rest.first().copied())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

/// True if all is well.
fn hunt_down(messages: &str, what: Option<&str>) -> Result<bool, Error> {
    let server = PostgresServer::options().fast().max_connections(400).start();
    let redis = RedisServer::options().fast().start();
    let programs = Programs::find(Path::new(messages), server.url(), redis.url())?;
    let old = fs::read_to_string(MATRIX).unwrap_or_default();
    let known = matrix::known(&old);
    let all = registry::all();
    if what == Some("--quick") {
        let wrong = hunt::quick(&programs, &all, &known)?;
        for text in &wrong {
            println!("WRONG  {text}");
        }
        return Ok(wrong.is_empty());
    }
    let name = what.filter(|w| *w != "--all");
    let bugs: Vec<_> = all.iter().copied().filter(|b| name.is_none_or(|n| b.name.contains(n))).collect();
    let rows = hunt::full(&programs, &bugs, &if what.is_some() { HashMap::new() } else { known })?;
    let Some(rows) = rows else { return Ok(false) };
    for row in rows.iter().filter(|r| r.quickest.is_none()) {
        println!("NOT SEEN  {}: {}", row.bug.name, row.bug.breaks);
    }
    fs::write(MATRIX, matrix::render(&all, &rows, &old))?;
    Ok(rows.iter().all(|r| r.quickest.is_some()))
}
