//! The command line of `rig`.

use super::run::{Options, Outcome, run};
use super::store::AnyError;
use super::{point::Point, worker};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// What `rig --help` prints.
const HELP: &str = "\
./dev rig: kill workers while jobs flow on a real PostgreSQL, then look for lost jobs

  --kills N     how many kills (200)
  --minutes N   the longest time to spend on them (60)
  --seed S      decides what is killed where (random)
  --url URL     a PostgreSQL to use instead of a private one; the run makes a schema of its own
  --workers N   workers at a time (3)

Exits with 1 if a job was lost, a stale verdict was accepted or any other rule was broken, or if the run did too little
to prove anything.";

/// The whole program.
pub async fn main(args: Vec<String>) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["worker", url, path] => worker::work(url, Path::new(path)).await,
        ["producer", url, number, path] => match number.parse() {
            Ok(number) => worker::produce(url, Path::new(path), number).await,
            Err(_) => Err(format!("{number} is not a number").into()),
        },
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
    let options = parse(words)?;
    println!("seed {}: {} kills, {} workers at a time", options.seed, options.kills, options.workers);
    let outcome = run(&options).await?;
    print(&outcome);
    Ok(if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(words: &[&str]) -> Result<Options, AnyError> {
    let mut options = Options {
        program: std::env::current_exe()?,
        kills: 200,
        time: Duration::from_secs(60 * 60),
        seed: rand::random(),
        url: None,
        workers: 3,
        chatty: true,
    };
    for pair in words.chunks(2) {
        let [option, value] = pair else {
            return Err(format!("{} needs a value; see --help", pair[0]).into());
        };
        match *option {
            "--kills" => options.kills = number(option, value)?,
            "--minutes" => options.time = Duration::from_secs(60 * number::<u64>(option, value)?),
            "--seed" => options.seed = number(option, value)?,
            "--url" => options.url = Some((*value).to_owned()),
            "--workers" => options.workers = number::<usize>(option, value)?.max(2),
            _ => return Err(format!("unknown option {option}; see --help").into()),
        }
    }
    Ok(options)
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, String> {
    let digits = value.replace(['_', ','], "");
    digits.parse().map_err(|_| format!("{option}: {value} is not a number that fits"))
}

/// Prints what a run gave.
pub fn print(outcome: &Outcome) {
    let summary = &outcome.judgement.summary;
    println!("\nkills                          {:>8}", outcome.kills);
    for point in Point::ALL {
        println!("  {:<28} {:>8}", point.as_str(), summary.kills_at.get(&point).copied().unwrap_or(0));
    }
    println!("  {:<28} {:>8}", "at random", outcome.random_kills);
    let rows = [
        ("workers frozen and let go", summary.frozen),
        ("answers lost on purpose", summary.answers_lost),
        ("leases reaped", summary.reaps),
        ("stale verdicts refused", summary.stale),
        ("repeated verdicts recognised", summary.already_applied),
        ("outcomes never learned", summary.unknown),
        ("requests deduplicated", summary.deduplicated),
        ("lease extensions", summary.extensions),
        ("jobs acknowledged", summary.acked),
        ("  run more than once", summary.ran_again),
        ("  with more than one effect", summary.effects_again),
        ("  lost", summary.lost),
    ];
    for (what, count) in rows {
        println!("{what:<30} {count:>8}");
    }
    let [killing, draining] = outcome.took.map(|t| t.as_secs_f64());
    println!("{killing:.0} s of kills, {draining:.0} s to finish what was left");
    let violations = &outcome.judgement.violations;
    for violation in violations.iter().take(20) {
        println!("BROKEN  {violation}");
    }
    if violations.len() > 20 {
        println!("BROKEN  … and {} more", violations.len() - 20);
    }
    for line in &outcome.timeline {
        println!("  {line}");
    }
    for complaint in &outcome.complaints {
        println!("WRONG   {complaint}");
    }
    println!("{}", if outcome.is_good() { "good: nothing lost, no stale verdict accepted" } else { "BAD" });
}
