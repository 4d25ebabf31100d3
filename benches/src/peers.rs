//! Other job systems on Redis, each a program of its own in `benches/peers`.

use crate::args::Args;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A peer that takes longer for one run has stopped working.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What a peer prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Figures {
    pub(crate) peer: String,
    pub(crate) version: String,
    jobs: usize,
    pub(crate) enqueue_per_s: f64,
    pub(crate) drain_per_s: f64,
}

/// How to build and run a peer.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Cargo,
    Npm,
}

/// A peer that can be run.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// What must be known about its figures.
    pub(crate) remark: &'static str,
    program: OsString,
    first: Option<PathBuf>,
}

const PEERS: [(&str, Kind, &str); 3] = [
    (
        "apalis-redis",
        Kind::Cargo,
        "backlog made ready by hand: it fails itself with more than 7,999 jobs due",
    ),
    ("rusty-sidekiq", Kind::Cargo, "no leases: a crash loses the jobs that run; enqueues one at a time"),
    ("bullmq", Kind::Npm, "one Node process"),
];

/// Builds the peers. One that cannot be built is said to be skipped, and why.
pub(crate) async fn build() -> Vec<Peer> {
    let mut peers = Vec::new();
    for (name, kind, remark) in PEERS {
        match build_one(name, kind).await {
            Ok((program, first)) => peers.push(Peer { name, remark, program, first }),
            Err(error) => println!("{name}: skipped: {error:#}"),
        }
    }
    peers
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

async fn build_one(name: &str, kind: Kind) -> Result<(OsString, Option<PathBuf>)> {
    let dir = root().join("benches/peers").join(name);
    match kind {
        Kind::Cargo => {
            let target = root().join("target/peers");
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "--release", "--locked", "--quiet", "--target-dir"]).arg(&target);
            done(cargo.current_dir(&dir)).await?;
            Ok((target.join(format!("release/peer-{name}")).into(), None))
        }
        Kind::Npm => {
            let mut node = Command::new("node");
            done(node.arg("--version")).await?;
            let mut npm = Command::new("npm");
            done(npm.args(["ci", "--silent"]).current_dir(&dir)).await?;
            Ok(("node".into(), Some(dir.join("drain.js"))))
        }
    }
}

/// Runs it to a good end.
async fn done(command: &mut Command) -> Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("{program} is not installed"),
        output => output.with_context(|| program.clone())?,
    };
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Peer {
    /// Enqueues and drains jobs on an empty server.
    pub(crate) async fn run(&self, url: &str, jobs: usize, args: &Args) -> Result<Figures> {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(["--url", url]);
        for (option, number) in [
            ("--jobs", jobs),
            ("--payload", args.payload),
            ("--concurrency", args.concurrency),
            ("--batch", args.batch),
        ] {
            command.arg(option).arg(number.to_string());
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output).await.context("it did not end")??;
        if !output.status.success() {
            bail!("it failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let figures: Figures = serde_json::from_slice(&output.stdout).context("it printed something else")?;
        anyhow::ensure!(figures.jobs == jobs, "it ran {} of {jobs} jobs", figures.jobs);
        Ok(figures)
    }
}
