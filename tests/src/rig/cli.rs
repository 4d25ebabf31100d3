//! The command line of `rig`.

use super::history::Tail;
use super::report;
use super::run::{DUMP, Options, run};
use super::store::{AnyError, Store};
use super::{ticks, worker};
use crate::judge::{self, Dump, Judgement, Told};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// What `rig --help` prints.
const HELP: &str = "\
./dev rig: kill workers and servers while jobs flow on a real PostgreSQL or Redis, then look for lost jobs

  --store S     postgres or redis (postgres)
  --kills N     how many kills at least (200)
  --minutes N   with --kills: the longest time to spend on them (60); alone: how long to go on, 50 kills a minute at least
  --seed S      decides what is killed where (random)
  --calm        kill workers and producers only; the server and the network stay well
  --pace N      kill one worker at a time only, N seconds apart on average, in calm weather: times the recovery of a fleet
  --lease N     how long leases last, in seconds (1)
  --url URL     a server to use instead of a private one, which means --calm; the run makes a schema or prefix of its own
  --workers N   workers at a time (3)
  --report F    write the report as Markdown, too

rig check DIR: judge the histories of an earlier run again; a bad run says where it left them

Exits with 1 if a job was lost, a stale verdict was accepted or any other rule was broken, or if the run did too little
to prove anything.";

/// The whole program.
pub async fn main(args: Vec<String>) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["worker", url, lease, port, path] => match (lease.parse(), port.parse()) {
            (Ok(lease), Ok(port)) => {
                worker::work(url, Duration::from_millis(lease), port, Path::new(path)).await
            }
            _ => Err(format!("{lease} is not a number of milliseconds, or {port} no port").into()),
        },
        ["producer", url, number, path] => match number.parse() {
            Ok(number) => worker::produce(url, Path::new(path), number).await,
            Err(_) => Err(format!("{number} is not a number").into()),
        },
        ["scheduler", url, path] => ticks::fire(url, Path::new(path)).await,
        ["check", dir] => check(Path::new(dir)),
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        words => orchestrate(words).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("rig: {error}");
        ExitCode::from(2)
    })
}

async fn orchestrate(words: &[&str]) -> Result<ExitCode, AnyError> {
    let (options, file) = parse(words)?;
    let what = if options.storms { "and storms" } else { "in calm weather" };
    let (seed, kills, workers) = (options.seed, options.kills, options.workers);
    println!("{}, seed {seed}: {kills} kills {what}, {workers} workers at a time", options.store.name());
    let outcome = run(&options).await?;
    report::print(&outcome);
    if let Some(file) = file {
        std::fs::write(file, report::markdown(&options, &outcome))?;
    }
    Ok(if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads what a run left in its directory.
fn read(dir: &Path) -> Result<(Vec<Told>, Dump), AnyError> {
    let mut told = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "jsonl") {
            let by = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            told.push(Told { by, records: Tail::new(path).read()? });
        }
    }
    let dump = serde_json::from_slice(&std::fs::read(dir.join(DUMP))?)?;
    Ok((told, dump))
}

fn check(dir: &Path) -> Result<ExitCode, AnyError> {
    let (told, dump) = read(dir)?;
    let judgement: Judgement = judge::check(&told, &dump);
    report::print_judgement(&judgement);
    let first = judgement.violations.iter().find_map(|v| v.job);
    for line in first.map(|job| judge::timeline(&told, job)).unwrap_or_default() {
        println!("  {line}");
    }
    Ok(if judgement.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(words: &[&str]) -> Result<(Options, Option<PathBuf>), AnyError> {
    let mut options = Options::new(std::env::current_exe()?, 200);
    let mut report = None;
    let (mut kills, mut minutes, mut store) = (None, None, None);
    let mut words = words.iter().copied();
    while let Some(option) = words.next() {
        if option == "--calm" {
            options.storms = false;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{option} needs a value; see --help"))?;
        match option {
            "--kills" => kills = Some(number(option, value)?),
            "--minutes" => minutes = Some(number::<u64>(option, value)?),
            "--pace" => {
                options.pace = Some(Duration::from_secs(number(option, value)?));
                options.storms = false;
            }
            "--seed" => options.seed = number(option, value)?,
            "--lease" => options.lease = Duration::from_secs(number::<u64>(option, value)?.max(1)),
            "--store" => store = Some(value.parse()?),
            "--url" => {
                options.url = Some(value.to_owned());
                options.storms = false;
            }
            "--workers" => options.workers = number::<usize>(option, value)?.max(2),
            "--report" => report = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {option}; see --help").into()),
        }
    }
    if let Some(minutes) = minutes {
        options.time = Duration::from_secs(60 * minutes);
        options.whole_time = kills.is_none();
        if options.whole_time {
            options.calm = Duration::from_secs(8);
        }
        options.kills = 50 * minutes;
    }
    options.kills = kills.unwrap_or(options.kills);
    options.everywhere = options.kills >= 200;
    let of_url = options.url.as_deref().map(Store::of_url).transpose()?;
    if store.is_some() && of_url.is_some() && store != of_url {
        return Err("--store and --url are of different stores".into());
    }
    options.store = of_url.or(store).unwrap_or(options.store);
    Ok((options, report))
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, String> {
    let digits = value.replace(['_', ','], "");
    digits.parse().map_err(|_| format!("{option}: {value} is not a number that fits"))
}
