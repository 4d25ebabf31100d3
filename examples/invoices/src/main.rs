//! A web service and worker that import, render and mail invoices, and can be killed at any moment. See README.md.

mod args;
mod http;
mod invoice;
mod jobs;
mod redis_store;
mod sink;
mod store;

use anyhow::Context as _;
use args::Args;
use http::Imported;
use invoice::Parsed;
use jobs::{Folder, Post, mail_of, send_invoice};
use std::collections::HashSet;
use std::future::Future;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use steadfast::{Queue, Runtime, jobs};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What the parts of the program share.
#[derive(Debug)]
struct Office {
    store: Arc<Store>,
    folder: Arc<Folder>,
    mails: watch::Receiver<usize>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::read(std::env::args().skip(1))?;
    if args.help {
        println!("{}", args::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let to_person = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(to_person)
        .init();

    let url = std::env::var("STEADFAST_URL").unwrap_or_else(|_| "memory:".into());
    let folder = Folder::open(&args.out).with_context(|| format!("cannot use {}", args.out.display()))?;
    let sink = sink::start(&folder.log()).await?;
    let office = Arc::new(Office {
        store: Arc::new(Store::connect(&url).await?),
        folder: Arc::new(folder),
        mails: sink.taken,
    });
    let runtime = Runtime::builder(office.store.backend())
        .jobs(jobs![send_invoice])
        .state_arc(Arc::clone(&office.store))
        .state_arc(Arc::clone(&office.folder))
        .state(Post::through(sink.port))
        .queue("email", Queue::concurrency(16))
        // How long the jobs of a killed process wait for the next one.
        .lease(Duration::from_secs(3))
        // Whoever kills this example again and again must not make its jobs look guilty.
        .poison_limit(100)
        .build()?;

    let listener = tokio::net::TcpListener::bind(args.listen).await.context("cannot listen")?;
    println!("listening on http://{}", listener.local_addr()?);
    let (ended, mut end) = watch::channel(());
    let web = axum::serve(listener, http::router(Arc::clone(&office)))
        // Open requests are answered before the end.
        .with_graceful_shutdown(async move { drop(end.changed().await) });
    let web = tokio::spawn(web.into_future());
    tokio::spawn(tell_mails(office.mails.clone()));

    let signal = signals()?;
    let mut work_done = None;
    let stop = async {
        tokio::select! {
            name = signal => println!("{name}: ending in good order"),
            result = work(&office, &args) => work_done = Some(result),
        }
    };
    let report = runtime.run_until(stop).await?;
    drop(ended);
    let _ = tokio::time::timeout(Duration::from_secs(3), web).await;
    match work_done {
        Some(summary) => Ok(summary?.tell(&args)),
        None => Ok(report.exit_code()),
    }
}

/// Imports what the command line names. Ends when no job is left, if that was asked for.
async fn work(office: &Office, args: &Args) -> anyhow::Result<Summary> {
    if let Some(path) = &args.import {
        let file = tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let imported = office.import(invoice::parse(&file)?).await?;
        for row in &imported.rejected {
            println!("refused {row}");
        }
        let Imported { new, known, rejected } = imported;
        println!("imported {}: {new} new, {known} known, {} refused", path.display(), rejected.len());
    }
    if !args.exit_when_done {
        std::future::pending::<()>().await;
    }
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        look.tick().await;
        match office.store.jobs().await {
            Ok(jobs) if jobs.ready + jobs.running + jobs.scheduled + jobs.retrying == 0 => break,
            Ok(_) => {}
            Err(error) => eprintln!("cannot count the jobs: {error:#}"),
        }
    }
    Summary::of(office).await
}

impl Office {
    async fn import(&self, parsed: Parsed) -> anyhow::Result<Imported> {
        let all = parsed.invoices.len();
        let new = self.store.import(&parsed.invoices, |done| println!("imported {done} of {all}")).await?;
        Ok(Imported { new, known: all - new, rejected: parsed.rejected })
    }
}

/// What there is in the end.
#[derive(Debug)]
struct Summary {
    invoices: usize,
    files: usize,
    mails: usize,
    different: usize,
    dead: u64,
    /// Invoices without a file or a mail.
    missing: Vec<String>,
}

impl Summary {
    async fn of(office: &Office) -> anyhow::Result<Self> {
        let log = tokio::fs::read_to_string(office.folder.log()).await?;
        let ids: HashSet<&str> = log.lines().collect();
        let numbers = office.store.numbers().await?;
        let is_missing = |number: &String| !office.folder.has(number) || !ids.contains(&*mail_of(number));
        Ok(Self {
            invoices: numbers.len(),
            files: office.folder.count()?,
            mails: log.lines().count(),
            different: ids.len(),
            dead: office.store.jobs().await?.dead,
            missing: numbers.into_iter().filter(is_missing).collect(),
        })
    }

    fn tell(&self, args: &Args) -> ExitCode {
        let Self { invoices, files, mails, different, dead, missing } = self;
        let out = args.out.display();
        println!(
            "done: {invoices} invoices; {files} files in {out}; {mails} mails, {different} of them different"
        );
        if missing.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("missing: {} ({dead} jobs are dead)", missing.join(", "));
        ExitCode::FAILURE
    }
}

/// A line for every so many mails.
async fn tell_mails(mut mails: watch::Receiver<usize>) {
    const STEP: usize = 50;
    let mut told = *mails.borrow_and_update() / STEP;
    while mails.changed().await.is_ok() {
        let count = *mails.borrow_and_update();
        if count / STEP > told {
            told = count / STEP;
            println!("mailed {count}");
        }
    }
}

/// Completes at SIGTERM or Ctrl-C.
fn signals() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
