//! Schedulers are killed, frozen and cut off while they fire one schedule, on a real server; each of its ticks has to be enqueued
//! exactly once.

use super::child::{Doomed, was_killed};
use super::store::{AnyError, Store, connect};
use super::worker::{Process, THAW};
use crate::judge::event::Event;
use crate::judge::point::{Action, Order, Point, SCHEDULER};
use crate::judge::ticks;
use jiff::Timestamp;
use job_core::{
    Client, Job, JobContext, JobError, JobSpec, JobState, Kind, ListFilter, Missed, NewJob, Operate, Queue,
    QueueName, Runtime, Schedule, ScheduleEntry,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const QUEUE: QueueName = QueueName::from_static("rig.ticks");
const NAME: &str = "every-second";
/// How long a child may take to connect, or to come to its point.
const PATIENCE: Duration = Duration::from_secs(15);
/// So long is a scheduler frozen that others have fired what it was about to.
const FREEZE: Duration = Duration::from_millis(2_500);

/// What each tick enqueues. It does nothing; that it was enqueued is what counts.
#[derive(Debug, Serialize, Deserialize)]
struct Tick {}

impl Job for Tick {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("rig.tick"));
            spec.queue = QUEUE;
            spec
        });
        &SPEC
    }

    async fn run(self, _: JobContext) -> Result<(), JobError> {
        Ok(())
    }
}

/// One scheduler: fires until it is told to end.
pub(super) async fn fire(url: &str, path: &Path) -> Result<ExitCode, AnyError> {
    let process = Process::start(url, path).await?;
    let runtime = Runtime::builder(process.backend)
        .job::<Tick>()
        .queue(QUEUE.as_str(), Queue::concurrency(4).keep_completed(Duration::from_secs(3600)))
        .lease(Duration::from_secs(1))
        .poison_limit(1_000_000)
        .build()?;
    Ok(runtime.run_until_signal().await?.exit_code())
}

/// How a run goes.
#[derive(Debug, Clone)]
pub struct TicksOptions {
    /// The program with the children in it.
    pub program: PathBuf,
    /// Which store.
    pub store: Store,
    /// A server.
    pub url: String,
    /// How many schedulers at a time.
    pub schedulers: usize,
    /// How long they are killed.
    pub time: Duration,
    /// Decides who is killed where.
    pub seed: u64,
}

/// What a run was.
#[derive(Debug, Default)]
pub struct TicksOutcome {
    /// What was wrong with the ticks.
    pub wrong: Vec<String>,
    /// How many ticks there were.
    pub ticks: usize,
    /// How many schedulers were killed, in any way.
    pub kills: u32,
    /// Of those and of others, how many were struck at a point of theirs.
    pub struck: u32,
    /// How many were frozen for a while in the middle of a step.
    pub frozen: u32,
}

#[derive(Debug, Default)]
struct Counts {
    born: AtomicU32,
    kills: AtomicU32,
    struck: AtomicU32,
    frozen: AtomicU32,
}

fn points(store: Store) -> Vec<Order> {
    let call = |before, after| {
        let order = |point, action| Order { point: Point::Within(point), action, passes: 0 };
        let own = SCHEDULER[..2].iter().map(move |point| order(*point, Action::Kill));
        let at = [
            order(before, Action::Kill),
            order(before, Action::Freeze),
            order(before, Action::Hang),
            order(after, Action::Kill),
            order(after, Action::Lose),
            order(after, Action::Hang),
        ];
        own.chain(at).collect()
    };
    match store {
        Store::Postgres => call(SCHEDULER[2], SCHEDULER[3]),
        Store::Redis => call(SCHEDULER[4], SCHEDULER[5]),
    }
}

/// Kills schedulers, then looks at what they have left.
///
/// # Errors
/// If the run cannot be made.
pub async fn run_ticks(options: &TicksOptions) -> Result<TicksOutcome, AnyError> {
    let dir = std::env::temp_dir().join(format!("steadfast-ticks-{}-{}", std::process::id(), options.seed));
    std::fs::create_dir_all(&dir)?;
    let counts = Counts::default();
    let backend = connect(&options.url).await?;
    let every_second = Schedule::new(NAME, "* * * * * *")?.missed(Missed::All { max: Missed::ALL_MAX });
    Client::new(Arc::clone(&backend)).schedules(QUEUE).put(&every_second, &Tick {}).await?;
    let first = entry(&*backend).await?.watermark;
    let until = Instant::now() + options.time;
    let lives = (0..options.schedulers).map(|n| live(options, &dir, &counts, n as u64, until));
    futures_util::future::try_join_all(lives).await?;
    let last = settle(options, &dir, &counts, &*backend).await?;
    let found = found(&*backend).await?;
    let outcome = TicksOutcome {
        wrong: ticks::check(first, last.watermark, &found),
        ticks: found.len(),
        kills: counts.kills.into_inner(),
        struck: counts.struck.into_inner(),
        frozen: counts.frozen.into_inner(),
    };
    if outcome.wrong.is_empty() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(outcome)
}

fn start(options: &TicksOptions, dir: &Path, counts: &Counts) -> Result<Doomed, AnyError> {
    let name = format!("scheduler-{}", counts.born.fetch_add(1, Ordering::Relaxed));
    Doomed::start(&options.program, dir, name, &["scheduler", &options.url], None)
}

/// One scheduler after the other.
async fn live(
    options: &TicksOptions,
    dir: &Path,
    counts: &Counts,
    number: u64,
    until: Instant,
) -> Result<(), AnyError> {
    let mut chance = StdRng::seed_from_u64(options.seed ^ (number << 32));
    let points = points(options.store);
    while Instant::now() < until {
        let mut child = start(options, dir, counts)?;
        if chance.random_bool(0.3) {
            sleep(Duration::from_millis(chance.random_range(100..2_500))).await;
        } else {
            let order = points[chance.random_range(0..points.len())];
            strike(&mut child, Order { passes: chance.random_range(0..3), ..order }, counts).await?;
        }
        if child.kill().await? {
            counts.kills.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Lets something happen to a scheduler in the middle of a step. One that never comes there, for others fire everything, lives on.
async fn strike(child: &mut Doomed, order: Order, counts: &Counts) -> Result<(), AnyError> {
    child.order(order).await;
    let at_point = |records: &[crate::judge::event::Record]| {
        records.iter().any(|r| matches!(r.event, Event::Reached { .. })).then_some(())
    };
    if child.until(PATIENCE / 3, at_point).await?.is_none() {
        return Ok(());
    }
    counts.struck.fetch_add(1, Ordering::Relaxed);
    match order.action {
        Action::Kill => {
            let ended = child.ended(PATIENCE).await?;
            if ended.is_some_and(was_killed) {
                counts.kills.fetch_add(1, Ordering::Relaxed);
            }
        }
        Action::Freeze => {
            sleep(FREEZE).await;
            child.tell(THAW).await;
            child.signal(Signal::CONT)?;
            counts.frozen.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(500)).await;
        }
        Action::Lose | Action::Hang => sleep(Duration::from_millis(500)).await,
    }
    Ok(())
}

async fn entry(backend: &dyn Operate) -> Result<ScheduleEntry, AnyError> {
    Ok(backend.schedules(&QUEUE).await?.entries.pop().ok_or("the schedule is gone")?)
}

/// Lets one scheduler catch up. Where the schedule is then.
async fn settle(
    options: &TicksOptions,
    dir: &Path,
    counts: &Counts,
    backend: &dyn Operate,
) -> Result<ScheduleEntry, AnyError> {
    let now = backend.schedules(&QUEUE).await?.now;
    let mut last = start(options, dir, counts)?;
    let deadline = Instant::now() + PATIENCE;
    while entry(backend).await?.watermark.as_second() < now.as_second() {
        if Instant::now() >= deadline {
            return Err("nobody catches up".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    last.signal(Signal::TERM)?;
    last.ended(Duration::from_secs(40)).await?.ok_or("a scheduler does not end")?;
    entry(backend).await
}

/// The tick of each job that there ever was: all of them are kept.
async fn found(backend: &dyn Operate) -> Result<Vec<Timestamp>, AnyError> {
    let mut found = Vec::new();
    for state in JobState::ALL {
        let mut filter = ListFilter { limit: 1_000, ..ListFilter::new(QUEUE, state) };
        loop {
            let page = backend.list(&filter).await?;
            for job in page.jobs {
                found.push(job.headers.get(NewJob::TICK_HEADER).ok_or("a job without a tick")?.parse()?);
            }
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
    }
    Ok(found)
}
