//! `./dev rig`: kills workers while jobs flow, then looks for lost jobs.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    job_conformance::rig::cli::main(std::env::args().skip(1).collect()).await
}
