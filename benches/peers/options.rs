//! What every Rust peer is told on its command line, and what it answers.

use anyhow::{Context as _, Result, bail};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What to measure, and the peer's own settings.
#[derive(Debug)]
pub struct Options {
    /// The server.
    pub url: String,
    /// Jobs to enqueue and to run.
    pub jobs: usize,
    /// Bytes of text in the arguments of a job.
    pub payload: usize,
    /// Handlers at once.
    pub concurrency: usize,
    /// Jobs in one enqueue call.
    pub batch: usize,
    settings: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line. Whatever is not common to all peers is a setting of this one.
    pub fn parse() -> Result<Self> {
        let mut options = Self {
            url: String::new(),
            jobs: 0,
            payload: 100,
            concurrency: 256,
            batch: 1_000,
            settings: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--url" => options.url = value,
                "--jobs" => options.jobs = value.parse().context(word)?,
                "--payload" => options.payload = value.parse().context(word)?,
                "--concurrency" => options.concurrency = value.parse().context(word)?,
                "--batch" => options.batch = value.parse().context(word)?,
                _ => match word.strip_prefix("--") {
                    Some(name) => options.settings.push((name.to_owned(), value)),
                    None => bail!("{word} is no option"),
                },
            }
        }
        anyhow::ensure!(!options.url.is_empty() && options.jobs > 0, "--url and --jobs are needed");
        anyhow::ensure!(
            options.concurrency > 0 && options.batch > 0,
            "--concurrency and --batch are at least 1"
        );
        Ok(options)
    }

    /// A setting of this peer, or what measured best.
    pub fn setting(&self, name: &str, best: usize) -> Result<usize> {
        match self.settings.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value.parse().with_context(|| format!("--{name}")),
            None => Ok(best),
        }
    }
}

/// The one line on standard output.
pub fn report(peer: &str, version: &str, jobs: usize, enqueue: Duration, drain: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = |took: Duration| jobs as f64 / took.as_secs_f64();
    println!(
        r#"{{"peer":"{peer}","version":"{version}","jobs":{jobs},"enqueue_per_s":{:.0},"drain_per_s":{:.0}}}"#,
        rate(enqueue),
        rate(drain)
    );
}

/// How many jobs have still to run, and who waits for the last.
#[derive(Debug)]
pub struct Count {
    left: AtomicUsize,
    zero: Notify,
}

impl Count {
    /// Waits for this many.
    pub fn of(jobs: usize) -> Self {
        Self { left: AtomicUsize::new(jobs), zero: Notify::new() }
    }

    /// One has run.
    pub fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.zero.notify_one();
        }
    }

    /// Returns when all have run.
    pub async fn all(&self) {
        self.zero.notified().await;
    }
}
