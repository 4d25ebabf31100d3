//! The job whose handler does what its arguments say, and writes down that it did.

use super::fate::Fate;
use super::history::History;
use super::outside::{self, Outside};
use crate::judge::event::{Conduct, Event, Held, Outcome};
use crate::judge::point::Point;
use job_core::{Action, Backoff, Job, JobContext, JobError, JobSpec, Key, Kind, Limit, LimitName, QueueName};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Where the jobs wait.
pub(super) const QUEUE: QueueName = QueueName::from_static("rig");
/// What panics on purpose says.
pub(super) const ON_PURPOSE: &str = "the rig panics on purpose";

/// The wait after a failure.
const RETRY: Duration = Duration::from_millis(150);
/// The wait that a snoozing job asks for.
const SNOOZE: Duration = Duration::from_millis(200);
/// Longer than two leases, so that it needs extensions.
const SLOW: Duration = Duration::from_millis(2_200);

/// What the handler needs, as a state of the runtime.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) history: Arc<History>,
    pub(super) fate: Arc<Fate>,
    pub(super) outside: Outside,
}

/// The arguments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RigJob {
    /// Different in each job.
    pub(super) n: u64,
    pub(super) conduct: Conduct,
}

/// How many jobs under the limit may be claimed at one time, by all workers.
pub(super) const LIMIT: u32 = 3;
/// Its name.
pub(super) const LIMIT_NAME: &str = "rig";

/// The same work, under the limit that all workers share. It takes a while: what runs in no time never runs beside others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LimitedJob(pub(super) RigJob);

impl Job for LimitedJob {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = RigJob::spec().clone();
            spec.kind = Kind::from_static("rig.limited");
            spec.limits.names = vec![LimitName::new(LIMIT_NAME).expect("a valid name")];
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        let lasting = Duration::from_millis(5 + self.0.n % 20);
        self.0.work(&ctx, lasting).await
    }
}

/// More than producers make of such jobs, and less than workers could do.
const FAIR_RATE: &str = "60/s";

/// The same work, in an ordered line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrderedJob {
    pub(super) line: String,
    pub(super) job: RigJob,
}

impl Job for OrderedJob {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = RigJob::spec().clone();
            spec.kind = Kind::from_static("rig.ordered");
            spec.limits.ordered = true;
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        self.job.run(ctx).await
    }

    fn line(&self) -> Option<Key> {
        Some(self.line.as_str().into())
    }
}

/// The same work, in a line that takes turns with others. The rate keeps some of them waiting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FairJob(pub(super) OrderedJob);

impl Job for FairJob {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = RigJob::spec().clone();
            spec.kind = Kind::from_static("rig.fair");
            spec.limits.all = Limit::per(FAIR_RATE).burst(4).rule().expect("a valid limit");
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        self.0.run(ctx).await
    }

    fn line(&self) -> Option<Key> {
        self.0.line()
    }
}

impl Job for RigJob {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("rig.job"));
            spec.queue = QUEUE;
            // A crash of a suspect that runs alone costs an attempt, and kills here are many.
            spec.max_attempts = 100_000;
            spec.backoff = Backoff::Fixed(RETRY);
            spec
        });
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        let lasting = if self.conduct == Conduct::Slow { SLOW } else { Duration::ZERO };
        self.work(&ctx, lasting).await
    }
}

impl RigJob {
    async fn work(&self, ctx: &JobContext, lasting: Duration) -> Result<(), JobError> {
        let rig = ctx.state::<Rig>().expect("a worker of the rig has one");
        let token = ctx.fencing_token();
        let held = Held { job: ctx.id(), claims: token.claims, lease: token.lease };
        rig.history.write(Event::Started { held, n: self.n, attempt: ctx.attempt() });
        rig.fate.pass(Point::InHandler, None);
        if !lasting.is_zero() {
            tokio::time::sleep(lasting).await;
        }
        if let Conduct::Outside(reach) = self.conduct
            && let Err(error) = outside::run(&rig, ctx, held, self.n, reach).await
        {
            let outcome = match error.action() {
                Action::InDoubt => Outcome::InDoubt,
                Action::Permanent => Outcome::Permanent,
                _ => Outcome::Failed,
            };
            rig.history.write(Event::Ended { held, outcome });
            return Err(error);
        }
        rig.history.write(Event::Effect { held });
        rig.fate.pass(Point::AfterEffect, None);
        let outcome = self.conduct.outcome(ctx.attempt(), token.claims);
        rig.history.write(Event::Ended { held, outcome });
        match outcome {
            Outcome::Ok => Ok(()),
            Outcome::Failed if self.conduct == Conduct::PanicsOnce => panic!("{ON_PURPOSE}"),
            Outcome::Failed => Err(JobError::retry("the rig fails on purpose")),
            Outcome::Permanent | Outcome::InDoubt => Err(JobError::permanent("the rig gives up on purpose")),
            Outcome::Snoozed => Err(JobError::snooze(SNOOZE)),
        }
    }
}
