//! The command line.

use anyhow::{Context as _, Result, bail};
use std::str::FromStr;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Args {
    /// Jobs in a round, or `None` for what suits the store.
    pub jobs: Option<usize>,
    /// Handlers at once.
    pub concurrency: usize,
    /// Bytes of text in the arguments of a job.
    pub payload: usize,
    /// Measured rounds, after one that warms up.
    pub rounds: usize,
    /// Jobs in one enqueue call.
    pub batch: usize,
    /// Only this store: `memory` or `postgres`.
    pub only: Option<String>,
    /// A server to use instead of a private one.
    pub url: Option<String>,
}

/// The help text.
pub const HELP: &str = "\
./dev bench drain: jobs per second, beside the ceiling of the same machine in the same run

  --jobs N          jobs in a round (default 1,000,000 in memory, 200,000 on a server)
  --concurrency N   handlers at once (256)
  --payload BYTES   text in the arguments of a job (100)
  --batch N         jobs in one enqueue call (1,000)
  --rounds N        measured rounds after a warm-up; the table shows medians (3)
  --only STORE      memory or postgres
  --url URL         a PostgreSQL to use instead of a private one with fsync on and default settings";

impl Args {
    /// Reads the command line; `None` asks for help.
    ///
    /// # Errors
    /// If an option is unknown or its value does not fit.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut args = Self {
            jobs: None,
            concurrency: 256,
            payload: 100,
            rounds: 3,
            batch: 1_000,
            only: None,
            url: None,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--jobs" => args.jobs = Some(number(&word, words.next())?),
                "--concurrency" => args.concurrency = number(&word, words.next())?,
                "--payload" => args.payload = number(&word, words.next())?,
                "--rounds" => args.rounds = number(&word, words.next())?,
                "--batch" => args.batch = number(&word, words.next())?,
                "--only" => args.only = Some(value(&word, words.next())?),
                "--url" => args.url = Some(value(&word, words.next())?),
                "--help" | "-h" => return Ok(None),
                _ => bail!("unknown option {word}; see --help"),
            }
        }
        if args.rounds == 0 || args.batch == 0 || args.concurrency == 0 || args.jobs == Some(0) {
            bail!("--jobs, --rounds, --batch and --concurrency are at least 1");
        }
        if let Some(only) = &args.only
            && !["memory", "postgres"].contains(&only.as_str())
        {
            bail!("--only is memory or postgres, not {only}");
        }
        Ok(Some(args))
    }

    /// Whether to measure this store.
    #[must_use]
    pub fn wants(&self, store: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == store)
    }
}

fn value(option: &str, word: Option<String>) -> Result<String> {
    word.with_context(|| format!("{option} needs a value"))
}

fn number<T: FromStr>(option: &str, word: Option<String>) -> Result<T> {
    let word = value(option, word)?;
    let digits = word.replace(['_', ','], "");
    digits.parse().ok().with_context(|| format!("{option}: {word} is not a number that fits"))
}
