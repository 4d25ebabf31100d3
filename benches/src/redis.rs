//! Redis, and other job systems on the same server.

use crate::args::{Aof, Args};
use crate::drain;
use crate::peers::{self, Figures, Peer};
use crate::report::{Rounds, Table, median};
use anyhow::Result;
use job_conformance::servers::RedisServer;
use std::sync::Arc;
use steadfast::{LeaseId, Operate};

/// Who enqueues one job at a time.
const PRODUCERS: usize = 16;

/// Where the jobs go.
enum Server {
    /// Started here, and emptied before each run.
    Private(RedisServer, Aof),
    /// Somebody's, which keeps what it has.
    Given(String),
}

impl Server {
    fn of(args: &Args) -> Self {
        if let Some(url) = args.url_of(&["redis", "rediss", "valkey", "valkeys", "unix"]) {
            return Self::Given(url.to_owned());
        }
        let options = match args.aof {
            Aof::No => RedisServer::options().fast(),
            Aof::Everysec => RedisServer::options().setting("appendfsync", "everysec"),
            Aof::Always => RedisServer::options(),
        };
        // A rewrite of the file would be paid by whoever happens to run.
        Self::Private(options.setting("auto-aof-rewrite-percentage", "0").start(), args.aof)
    }

    /// An empty store.
    async fn connect(&self) -> Result<Arc<dyn Operate>> {
        let url = match self {
            Self::Private(server, _) => {
                empty(server)?;
                server.url()
            }
            Self::Given(url) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}receipts=60&prefix=bench_{}", LeaseId::random().as_uuid().simple())
            }
        };
        Ok(steadfast::connect(&url).await?)
    }

    fn settings(&self) -> &'static str {
        match self {
            Self::Private(_, aof) => aof.settings(),
            Self::Given(_) => "as it was given",
        }
    }
}

fn empty(server: &RedisServer) -> Result<()> {
    let answer = server.cli(&["flushall"]);
    anyhow::ensure!(answer == "OK", "the server was not emptied: {answer}");
    Ok(())
}

/// Measures a Redis, and the peers if they are asked for.
///
/// # Errors
/// If the runtime or the store fails.
pub async fn measure(args: &Args) -> Result<()> {
    let peers = if args.peers { peers::build().await } else { Vec::new() };
    let server = Server::of(args);
    let jobs = args.jobs.unwrap_or(100_000);
    let mut rounds = Rounds::default();
    let mut rivals: Vec<_> = peers.iter().map(Rival::of).collect();
    let mut class = String::new();
    for round in 0..=args.rounds {
        let backend = server.connect().await?;
        class = format!("{:?}: {}", backend.info().durability, server.settings());
        let ours = run(&backend, jobs, args).await?;
        drop(backend);
        if round == 0 {
            continue;
        }
        rounds.push(ours);
        if let Server::Private(private, _) = &server {
            for rival in &mut rivals {
                empty(private)?;
                rival.run(&private.url(), ours, jobs, args).await;
            }
        }
    }
    let [enqueue, singly, drained, bare_loop] = rounds.medians();
    let mut table = Table::default();
    table.rate("enqueue", enqueue, format!("one producer, {} a call", args.batch));
    table.rate("enqueue singly", singly, format!("{PRODUCERS} producers, one a call"));
    table.rate("claim + run + settle", drained, format!("the whole runtime, {} at once", args.concurrency));
    let remark = format!("ceiling: settle and claim in a loop; ratio {:.2}", drained / bare_loop);
    table.rate("the same without a runtime", bare_loop, remark);
    table.print(&format!(
        "Redis ({class}): {jobs} jobs with {} bytes, median of {}",
        args.payload, args.rounds
    ));
    if !rivals.is_empty() {
        let mut table = Table::default();
        for rival in &rivals {
            rival.add_to(&mut table);
        }
        table.print(&format!("Others on the same server in the same run ({})", server.settings()));
    }
    Ok(())
}

/// Enqueue, enqueue singly, drain, and drain without a runtime.
async fn run(backend: &Arc<dyn Operate>, jobs: usize, args: &Args) -> Result<[f64; 4]> {
    let singles = jobs.div_ceil(10);
    let enqueue = drain::enqueue(backend, jobs, args).await?;
    let drained = drain::drain(backend, jobs, args).await?;
    drain::enqueue(backend, jobs, args).await?;
    let bare_loop = drain::bare_loop(backend, jobs).await?;
    let singly = drain::enqueue_singly(backend, PRODUCERS, singles, args).await?;
    drain::bare_loop(backend, singles.next_multiple_of(PRODUCERS)).await?;
    Ok([enqueue, singly, drained, bare_loop])
}

/// A peer and what its rounds gave.
struct Rival<'a> {
    peer: &'a Peer,
    last: Option<Figures>,
    enqueue: Vec<f64>,
    drain: Vec<f64>,
    /// How many times as fast ours was in the same round: the machine is not equally fast in all of them.
    enqueue_ratio: Vec<f64>,
    drain_ratio: Vec<f64>,
}

impl<'a> Rival<'a> {
    fn of(peer: &'a Peer) -> Self {
        Self {
            peer,
            last: None,
            enqueue: Vec::new(),
            drain: Vec::new(),
            enqueue_ratio: Vec::new(),
            drain_ratio: Vec::new(),
        }
    }

    async fn run(&mut self, url: &str, ours: [f64; 4], jobs: usize, args: &Args) {
        match self.peer.run(url, jobs, args).await {
            Ok(figures) => {
                self.enqueue.push(figures.enqueue_per_s);
                self.drain.push(figures.drain_per_s);
                self.enqueue_ratio.push(ours[0] / figures.enqueue_per_s);
                self.drain_ratio.push(ours[2] / figures.drain_per_s);
                self.last = Some(figures);
            }
            Err(error) => println!("{}: a round without it: {error:#}", self.peer.name),
        }
    }

    fn add_to(&self, table: &mut Table) {
        let Some(Figures { peer, version, .. }) = &self.last else { return };
        let ours = |ratios: &[f64]| format!("ours is {:.1} times as fast", median(ratios.to_vec()));
        table.rate(
            &format!("{peer} {version}: enqueue"),
            median(self.enqueue.clone()),
            ours(&self.enqueue_ratio),
        );
        let remark = format!("{}; {}", ours(&self.drain_ratio), self.peer.remark);
        table.rate(&format!("{peer} {version}: drain"), median(self.drain.clone()), remark);
    }
}
