//! Proof that the test suite can fail: deliberate defects, each switched on in turn, and which tests see it.

pub mod hunt;
pub mod matrix;
pub mod registry;
pub mod suites;

use crate::servers::PostgresServer;
use std::fs;
use std::io::Error;
use std::path::Path;
use std::process::ExitCode;
use suites::Programs;

/// Where the matrix is, from the root of the workspace.
const MATRIX: &str = "docs/detection-matrix.md";

const HELP: &str = "\
mutants <messages of cargo test --no-run> [--quick | name]: deliberate defects, and which tests see them

  (nothing)   every defect against every suite that could see it; writes docs/detection-matrix.md
  --quick     every defect against the one test that the matrix names
  name        the same for those defects whose names contain it";

/// The whole program; to be run at the root of the workspace.
#[must_use]
pub fn main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [messages, "--quick"] => quick(Path::new(messages)),
        [messages] if !messages.starts_with('-') => full(Path::new(messages), None),
        [messages, name] => full(Path::new(messages), Some(name)),
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

fn full(messages: &Path, only: Option<&str>) -> Result<bool, Error> {
    let server = PostgresServer::options().fast().max_connections(400).start();
    let programs = Programs::find(messages, server.url())?;
    let Some(rows) = hunt::full(&programs, only)? else { return Ok(false) };
    for row in rows.iter().filter(|r| !r.is_caught()) {
        println!("NOT SEEN  {}: {}", row.bug.name, row.bug.breaks);
    }
    let old = fs::read_to_string(MATRIX).unwrap_or_default();
    fs::write(MATRIX, matrix::render(&registry::all(), &rows, &old))?;
    Ok(rows.iter().all(|r| r.is_caught() && r.quickest.is_some()))
}

fn quick(messages: &Path) -> Result<bool, Error> {
    let server = PostgresServer::options().fast().max_connections(400).start();
    let programs = Programs::find(messages, server.url())?;
    let wrong = hunt::quick(&programs, &fs::read_to_string(MATRIX)?)?;
    for text in &wrong {
        println!("WRONG  {text}");
    }
    Ok(wrong.is_empty())
}
