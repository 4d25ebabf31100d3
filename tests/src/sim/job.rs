//! The jobs of the simulation, which do what their arguments say and write down that they did.

use super::life::Life;
use super::tape::{Process, Tape};
use crate::judge::event::{Conduct, Event, Held, Outcome};
use job_core::{Backoff, Job, JobContext, JobError, JobSpec, Kind, QueueName};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::sleep;

/// Where the jobs wait.
pub(super) const QUEUE: QueueName = QueueName::from_static("sim");
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// What panics on purpose say.
pub(super) const ON_PURPOSE: &str = "the simulation panics on purpose";

/// The bound of the wait after a failure.
const RETRY: Duration = Duration::from_millis(400);
/// The wait that a snoozing job asks for.
const SNOOZE: Duration = Duration::from_millis(700);

/// The process that a handler runs in, as a state of the runtime.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) process: Process,
    pub(super) tape: Arc<Tape>,
    pub(super) life: Arc<Life>,
}

/// A job that can be stopped at any time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Act {
    /// Different in each job.
    pub(super) n: u64,
    pub(super) conduct: Conduct,
    /// How long it takes.
    pub(super) ms: u64,
}

/// The same job, but it runs to its end whatever happens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stubborn(pub(super) Act);

fn spec(kind: Kind, blocking: bool) -> JobSpec {
    let mut spec = JobSpec::new(kind);
    spec.queue = QUEUE;
    // A crash of a suspect that runs alone costs an attempt, and crashes here are many.
    spec.max_attempts = 100_000;
    spec.backoff = Backoff::Linear { step: RETRY, max: 2 * RETRY, jitter: job_core::Jitter::Full };
    spec.timeout = None;
    spec.blocking = blocking;
    spec
}

impl Job for Act {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| spec(Kind::from_static("sim.act"), false));
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        self.perform(&ctx, true).await
    }
}

impl Job for Stubborn {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| spec(Kind::from_static("sim.stubborn"), true));
        &SPEC
    }

    async fn run(self, ctx: JobContext) -> Result<(), JobError> {
        self.0.perform(&ctx, false).await
    }
}

impl Act {
    async fn perform(&self, ctx: &JobContext, can_stop: bool) -> Result<(), JobError> {
        let host = ctx.state::<Host>().expect("a worker of the simulation has one");
        let token = ctx.fencing_token();
        let held = Held { job: ctx.id(), claims: token.claims, lease: token.lease };
        let write = |event| host.tape.write(host.process, event);
        host.tape.ledger().acts(&held, "began");
        write(Event::Started { held, n: self.n, attempt: ctx.attempt() });
        tokio::select! {
            biased;
            () = host.life.until_dead() => return Err(JobError::retry("the process is dead")),
            () = sleep(Duration::from_millis(self.ms)) => {}
        }
        if can_stop {
            host.tape.ledger().acts(&held, "went on");
        }
        write(Event::Effect { held });
        let outcome = self.conduct.outcome(ctx.attempt(), token.claims);
        write(Event::Ended { held, outcome });
        match outcome {
            Outcome::Ok => Ok(()),
            Outcome::Failed if self.conduct == Conduct::PanicsOnce => panic!("{ON_PURPOSE}"),
            Outcome::Failed => Err(JobError::retry("fails on purpose")),
            Outcome::Permanent | Outcome::InDoubt => Err(JobError::permanent("gives up on purpose")),
            Outcome::Snoozed => Err(JobError::snooze(SNOOZE)),
        }
    }
}
