//! `./dev mutants`: switches on deliberate defects, one after the other, and shows which tests see them.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    job_conformance::mutants::main(&args)
}
