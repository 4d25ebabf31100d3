//! The command line.

use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Imports invoices, renders each to a file and mails it. Kill it at any moment and start it again.

  --import FILE      import this CSV first (POST /import takes others)
  --out DIR          where the letters and mails.log go (./out)
  --listen ADDRESS   where the web service listens (127.0.0.1:8080)
  --exit-when-done   end when no job is left, with 0 if every invoice has its file and its mail

STEADFAST_URL says where invoices and jobs are: memory: (the default; gone with the process) or postgres://…";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) import: Option<PathBuf>,
    pub(crate) out: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) exit_when_done: bool,
    pub(crate) help: bool,
}

impl Args {
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mut args = Self { import: None, out: "out".into(), listen, exit_when_done: false, help: false };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--import" => args.import = Some(value()?.into()),
                "--out" => args.out = value()?.into(),
                "--listen" => {
                    args.listen = value()?.parse().context("--listen is an address like 127.0.0.1:8080")?
                }
                "--exit-when-done" => args.exit_when_done = true,
                "--help" | "-h" => args.help = true,
                _ => bail!("unknown option {word}; --help lists them"),
            }
        }
        Ok(args)
    }
}
