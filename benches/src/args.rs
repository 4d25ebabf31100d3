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
    /// Only this store: `memory`, `postgres` or `redis`.
    pub only: Option<String>,
    /// A server to use instead of a private one.
    pub url: Option<String>,
    /// How the private Redis keeps what it has acknowledged.
    pub aof: Aof,
    /// Whether to measure other job systems on Redis too.
    pub peers: bool,
}

/// What can be measured.
const STORES: [&str; 3] = ["memory", "postgres", "redis"];

/// When Redis writes its append-only file to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// There is none.
    No,
    /// Once a second.
    Everysec,
    /// Before each answer.
    Always,
}

impl Aof {
    /// The settings of the server, in words.
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::No => "appendonly no",
            Self::Everysec => "appendonly yes, appendfsync everysec",
            Self::Always => "appendonly yes, appendfsync always",
        }
    }
}

impl FromStr for Aof {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "no" => Ok(Self::No),
            "everysec" => Ok(Self::Everysec),
            "always" => Ok(Self::Always),
            _ => bail!("--aof is no, everysec or always, not {word}"),
        }
    }
}

/// The help text.
pub const HELP: &str = "\
./dev bench drain: jobs per second, beside the ceiling of the same machine in the same run

  --jobs N          jobs in a round (default 1,000,000 in memory, 200,000 in PostgreSQL, 100,000 in Redis)
  --concurrency N   handlers at once (256)
  --payload BYTES   text in the arguments of a job (100)
  --batch N         jobs in one enqueue call (1,000)
  --rounds N        measured rounds after a warm-up; the table shows medians (3)
  --only STORE      memory, postgres or redis
  --url URL         a PostgreSQL or Redis to use instead of a private one with default settings (PostgreSQL: fsync on)
  --aof HOW         the append-only file of the private Redis: no (default), everysec or always
  --peers           other job systems on the same Redis in the same run; see benches/peers/README.md";

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
            aof: Aof::No,
            peers: false,
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
                "--aof" => args.aof = value(&word, words.next())?.parse()?,
                "--peers" => args.peers = true,
                "--help" | "-h" => return Ok(None),
                _ => bail!("unknown option {word}; see --help"),
            }
        }
        args.check()?;
        Ok(Some(args))
    }

    fn check(&self) -> Result<()> {
        if self.rounds == 0 || self.batch == 0 || self.concurrency == 0 || self.jobs == Some(0) {
            bail!("--jobs, --rounds, --batch and --concurrency are at least 1");
        }
        if let Some(only) = &self.only
            && !STORES.contains(&only.as_str())
        {
            bail!("--only is memory, postgres or redis, not {only}");
        }
        if self.peers && self.url_of(&["redis", "rediss", "valkey"]).is_some() {
            bail!("--peers empties the server between the runs, so it takes a private one, not --url");
        }
        Ok(())
    }

    /// The server that was given, if its URL has one of these schemes.
    #[must_use]
    pub fn url_of(&self, schemes: &[&str]) -> Option<&str> {
        let url = self.url.as_deref()?;
        let scheme = url.split_once(':')?.0;
        schemes.contains(&scheme.split('+').next().unwrap_or_default()).then_some(url)
    }

    /// Whether to measure this store.
    #[must_use]
    pub fn wants(&self, store: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == store)
    }
}

/// Measures each store that the command line asks for, or prints the help.
///
/// # Errors
/// If the command line is wrong, or what the measurement says.
pub async fn each_store(measure: impl AsyncFn(&str, &Args) -> Result<()>) -> Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    for store in STORES.into_iter().filter(|store| args.wants(store)) {
        measure(store, &args).await?;
    }
    Ok(())
}

fn value(option: &str, word: Option<String>) -> Result<String> {
    word.with_context(|| format!("{option} needs a value"))
}

fn number<T: FromStr>(option: &str, word: Option<String>) -> Result<T> {
    let word = value(option, word)?;
    let digits = word.replace(['_', ','], "");
    digits.parse().ok().with_context(|| format!("{option}: {word} is not a number that fits"))
}
