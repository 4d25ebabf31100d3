//! A whole run: kills while jobs flow, then nothing but work until the store is empty, then judgement.

use super::child::Doomed;
use super::director::{Director, Tally};
use super::history::{History, Tail, now};
use super::http::Service;
use super::job::QUEUE;
use super::lives::{Stage, TO_END};
use super::outside::OtherSide;
use super::producer::Producer;
use super::store::{self, AnyError, Ground, Store, pending};
use super::storms::Sky;
use crate::judge::event::Event;
use crate::judge::storm::Storm;
use crate::judge::{self, Floors, Judgement, Told};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program with the `worker` and `producer` commands of [`main`](super::cli::main).
    pub program: PathBuf,
    /// How many kills at least.
    pub kills: u64,
    /// The longest time to spend on them.
    pub time: Duration,
    /// Go on until the time is over, however many kills there have been.
    pub whole_time: bool,
    /// Kill one worker at a time, at random moments this far apart on average, and do nothing else: what a fleet sees.
    pub pace: Option<Duration>,
    /// Kill the server, end its connections, and spoil the network too. Needs a server of our own.
    pub storms: bool,
    /// The longest time between two storms. A long run has time for jobs that nothing delays.
    pub calm: Duration,
    /// How long the workers' leases last.
    pub lease: Duration,
    /// Decides what is killed where.
    pub seed: u64,
    /// What is to be tested.
    pub store: Store,
    /// A server to use instead of a private one.
    pub url: Option<String>,
    /// Strike everything at each point inside of the product once at least, and let every kind of storm come. A few kills
    /// cannot.
    pub everywhere: bool,
    /// Workers at a time.
    pub workers: usize,
    /// Say how it goes.
    pub chatty: bool,
}

impl Options {
    /// Kills of this program's children, by a server and with a seed of its own.
    #[must_use]
    pub fn new(program: PathBuf, kills: u64) -> Self {
        Self {
            program,
            kills,
            time: Duration::from_secs(60 * 60),
            whole_time: false,
            pace: None,
            storms: true,
            calm: Duration::from_millis(2_500),
            lease: Duration::from_secs(1),
            seed: rand::random(),
            store: Store::Postgres,
            url: None,
            everywhere: kills >= 200,
            workers: 3,
            chatty: true,
        }
    }

    /// What a run of so many kills has to show.
    fn floors(&self) -> Floors {
        if self.pace.is_some() {
            return Floors::default();
        }
        let storms = self.storms && self.url.is_none();
        let everywhere = self.everywhere;
        Floors {
            kills_at_each: self.kills.div_ceil(20),
            frozen: self.kills.div_ceil(40),
            each_within: u64::from(everywhere),
            server_kills: if storms { self.kills.div_ceil(40) } else { 0 },
            storms: u64::from(storms && everywhere),
            interrupted: self.kills.div_ceil(60),
            in_doubt: u64::from(everywhere),
            committed: u64::from(self.store == Store::Postgres),
            calls: self.kills.div_ceil(60),
            passed: self.kills.div_ceil(60),
            ahead: if self.store == Store::Postgres { self.kills.div_ceil(60) } else { 0 },
        }
    }
}

/// The file of a run's directory with what the store had in the end.
pub(super) const DUMP: &str = "dump.json";
/// How long the store may go without progress, once nothing is killed any more.
const STALL: Duration = Duration::from_secs(30);

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    /// The judgement over all histories.
    pub judgement: Judgement,
    /// Everything else that went wrong: a run that proves too little, workers that ended badly.
    pub complaints: Vec<String>,
    /// How the first job that broke a rule fared.
    pub timeline: Vec<String>,
    /// What was done, by those who did it, not by what the dead wrote down.
    pub tally: Tally,
    /// How long the kills went on, and the work after them.
    pub took: [Duration; 2],
}

impl Outcome {
    /// True if nothing is wrong with it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.judgement.violations.is_empty() && self.complaints.is_empty()
    }
}

/// Runs.
///
/// # Errors
/// If the run could not be made: the server, a child or a history is not as it must be.
pub async fn run(options: &Options) -> Result<Outcome, AnyError> {
    let store = options.store;
    let (ground, sky) = match &options.url {
        Some(url) => (store.given(url), None),
        None => {
            let ground = tokio::task::spawn_blocking(move || store.start()).await?;
            let sky = if options.storms { Some(Sky::over(Arc::clone(&ground)).await?) } else { None };
            (ground, sky.map(Arc::new))
        }
    };
    let dir = std::env::temp_dir().join(format!("steadfast-rig-{}", job_core::LeaseId::random()));
    std::fs::create_dir(&dir)?;
    let result = run_in(options, &*ground, sky, &dir).await;
    // Histories of a bad run are evidence.
    match &result {
        Ok(outcome) if outcome.is_good() => std::fs::remove_dir_all(&dir)?,
        _ => eprintln!("the histories are in {}", dir.display()),
    }
    result
}

async fn run_in(
    options: &Options,
    ground: &dyn Ground,
    sky: Option<Arc<Sky>>,
    dir: &Path,
) -> Result<Outcome, AnyError> {
    let floors = options.floors();
    let backend = store::connect(&ground.url()).await?;
    ground.prepare().await?;
    let file = OtherSide::open(dir)?;
    let service = Service::start(options.pace.is_none().then_some(options.seed)).await?;
    let own = dir.join("orchestrator.jsonl");
    let history = Arc::new(History::create(&own)?);
    history.write(Event::Boot { pid: std::process::id() });
    let began = Instant::now();
    let director = Director::new(options, floors, began + options.time);
    let stage = Arc::new(Stage {
        program: options.program.clone(),
        dir: dir.to_owned(),
        store: options.store,
        url: sky.as_ref().map_or_else(|| ground.url(), |sky| sky.url()),
        lease: options.lease,
        port: service.port(),
        calm: options.calm,
        director,
        faketime: faketime(),
        backend: Arc::clone(&backend),
        history: Arc::clone(&history),
        born: AtomicU32::new(1),
    });
    let mut told = kill(options, &stage, sky.clone()).await?;
    let killing = began.elapsed();
    let mut complaints = Vec::new();
    told.extend(drain(options, &stage, ground, &mut complaints).await?);
    let took = [killing, began.elapsed() - killing];
    told.push(Told { by: "orchestrator".into(), records: Tail::new(own).read()? });
    let calls = file.heard()?.into_iter().chain(service.heard()).collect();
    let dump = store::dump(ground, &*backend, calls).await?;
    std::fs::write(dir.join(DUMP), serde_json::to_vec(&dump)?)?;
    let judgement = judge::check(&told, &dump);
    let moods = service.moods();
    stage.director.count(|t| (t.refused, t.unanswered) = (moods.refused, moods.lost));
    let tally = stage.director.tally();
    // A paced run times recoveries, and is not meant to show anything else.
    if options.pace.is_none() {
        if moods.refused.min(moods.lost) == 0 {
            complaints.push("proves little: the service outside never failed".into());
        }
        let missing = judgement.summary.missing(&floors).into_iter().chain(stage.director.missing(&tally));
        complaints.extend(missing.map(|m| format!("proves little: {m}")));
    }
    if tally.kills() < options.kills {
        complaints.push(format!("{} of {} kills in {:?}", tally.kills(), options.kills, options.time));
    }
    let first = judgement.violations.iter().find_map(|v| v.job);
    let timeline = first.map(|job| judge::timeline(&told, job)).unwrap_or_default();
    Ok(Outcome { judgement, complaints, timeline, tally, took })
}

/// The library that lies about the wall clock, where systems keep it.
fn faketime() -> Option<PathBuf> {
    let in_lib = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|e| e.path());
    let mut places = in_lib.chain(["/usr/lib".into(), "/usr/local/lib".into(), "/opt/homebrew/lib".into()]);
    places.find_map(|p| Some(p.join("faketime/libfaketime.so.1")).filter(|p| p.is_file()))
}

/// Kills until the director has enough; returns what the dead wrote down.
async fn kill(options: &Options, stage: &Arc<Stage>, sky: Option<Arc<Sky>>) -> Result<Vec<Told>, AnyError> {
    let (stop, stopped) = watch::channel(false);
    let raging = sky.map(|sky| {
        let (stage, stopped) = (Arc::clone(stage), stopped.clone());
        tokio::spawn(async move {
            let result = sky.rage(&stage, stopped).await;
            if result.is_err() {
                stage.director.stop();
            }
            result
        })
    });
    let (backend, history) = (Arc::clone(&stage.backend), Arc::clone(&stage.history));
    let mut producer = Producer::new(options.store, backend, history, 0, options.seed ^ now());
    let producing = tokio::spawn(async move { producer.run(stopped).await });
    let mut lives = JoinSet::new();
    for _ in 0..options.workers {
        let stage = Arc::clone(stage);
        lives.spawn(async move { stage.workers().await });
    }
    let producers = Arc::clone(stage);
    lives.spawn(async move { producers.producers().await });
    let progress = options.chatty.then(|| tokio::spawn(report_progress(Arc::clone(stage))));
    let mut told = Vec::new();
    let mut failed = None;
    while let Some(life) = lives.join_next().await {
        match life? {
            Ok(more) => told.extend(more),
            Err(error) => {
                stage.director.stop();
                failed.get_or_insert(error);
            }
        }
    }
    stop.send_replace(true);
    if let Some(raging) = raging {
        raging.await??;
    }
    producing.await?;
    if let Some(progress) = progress {
        progress.abort();
    }
    failed.map_or(Ok(told), Err)
}

/// Lets workers run unharmed until the store is empty, then ends them in good order.
async fn drain(
    options: &Options,
    stage: &Stage,
    ground: &dyn Ground,
    complaints: &mut Vec<String>,
) -> Result<Vec<Told>, AnyError> {
    let mut workers = (0..options.workers).map(|_| stage.worker()).collect::<Result<Vec<_>, _>>()?;
    until_empty(options, stage, complaints).await?;
    // A lease whose last two jobs were settled at one moment goes when it expires.
    let patience = Instant::now() + options.lease * 2 + Duration::from_secs(5);
    while store::has_leftovers(ground).await? && Instant::now() < patience {
        sleep(Duration::from_millis(100)).await;
    }
    for worker in &mut workers {
        // One that is still starting has no handler for the signal yet.
        worker.until_busy(TO_END).await?;
        worker.signal(Signal::TERM)?;
    }
    let mut told = Vec::new();
    for mut worker in workers {
        match worker.ended(TO_END).await? {
            Some(status) if status.success() => {}
            Some(status) => complaints.push(format!("{} ended with {status}", worker.name())),
            None => complaints.push(format!("{} did not end in {TO_END:?} after SIGTERM", worker.name())),
        }
        told.push(Doomed::told(worker)?);
    }
    Ok(told)
}

async fn until_empty(options: &Options, stage: &Stage, complaints: &mut Vec<String>) -> Result<(), AnyError> {
    let (mut least, mut moved) = (u64::MAX, Instant::now());
    let mut said = Instant::now();
    loop {
        // The server may have been killed at the last moment, and its connections with it.
        let Ok(stats) = stage.backend.stats(&QUEUE).await else {
            if moved.elapsed() > STALL {
                return Err("the server does not answer".into());
            }
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let left = pending(&stats);
        if left == 0 {
            return Ok(());
        }
        if left < least {
            (least, moved) = (left, Instant::now());
        }
        if moved.elapsed() > STALL {
            complaints.push(format!("{left} jobs were left, and none ended in {STALL:?}"));
            return Ok(());
        }
        if options.chatty && said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            println!("  no more kills, {left} jobs left");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A line every few seconds.
async fn report_progress(stage: Arc<Stage>) {
    let began = Instant::now();
    loop {
        sleep(Duration::from_secs(5)).await;
        let stats = stage.backend.stats(&QUEUE).await;
        let stats = stats.map_or("the server is away".into(), |s| {
            format!(
                "{} ready, {} running, {} waiting, {} dead",
                s.ready,
                s.running,
                s.scheduled + s.retrying,
                s.dead
            )
        });
        println!("{:>5} s  {}; {stats}", began.elapsed().as_secs(), progress(&stage.director.tally()));
    }
}

fn progress(tally: &Tally) -> String {
    let storms: u64 = tally.storms.values().sum();
    let servers = tally.storms.get(&Storm::ServerKilled).copied().unwrap_or(0);
    format!(
        "{} kills, {} frozen, {} told to end; {servers} servers killed, {} other storms; {} missed their point",
        tally.kills(),
        tally.frozen,
        tally.told,
        storms - servers,
        tally.missed
    )
}
