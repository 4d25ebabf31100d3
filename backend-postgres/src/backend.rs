//! The backend: calls with their columns.

use crate::batches::advance;
use crate::call::Calls;
use crate::chores::Chores;
use crate::claim::{ClaimArgs, Claimed, claim, payloads};
use crate::connect::{pool, prepare};
use crate::enqueue::{Batch, Lanes, Register, answers, distinct, enqueue, explain, micros, queues, register};
use crate::error::{NAME, refused};
use crate::floor::Floors;
use crate::maintain::{audit, extend, promote, prune, prune_dead, reap};
use crate::notes::{Save, Spot, notes, save};
use crate::options::Options;
use crate::schema::Statements;
use crate::settle::{self, Settle, Verdicts, follow_ups};
use crate::wake::Wake;
use crate::warm::Connections;
use async_trait::async_trait;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, Declared, DurabilityClass, Enqueued, ErrorKind,
    Extended, FireRequest, Fired, Hold, JobId, LeaseId, LeaseStatus, LimitName, LimitStep, MaintainRequest,
    Maintained, NewJob, NoteEdit, Notes, OwnThread, QueueName, ScheduleDef, Schedules, Settled, Settlement,
};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The most jobs in one statement.
pub(crate) const BATCH_MAX: usize = 1_000;

/// A statement that takes longer than this has an unknown outcome, and its connection is closed.
const DEADLINE: Duration = Duration::from_secs(30);

/// An extension that takes longer than this is tried again: a lease is at stake.
const EXTEND_DEADLINE: Duration = Duration::from_secs(5);

/// Extensions of several queues, at once.
const EXTEND_CONNECTIONS: u32 = 3;

/// The listener keeps one; the other is there while it changes a broken one for a new one.
const EAR_CONNECTIONS: u32 = 2;

/// Jobs in a PostgreSQL schema. Cheap to clone; the clones share their connections.
#[derive(Debug, Clone)]
pub struct PostgresBackend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) calls: Calls,
    /// Extensions: they wait neither for a busy pool nor for a busy runtime.
    urgent: Calls,
    /// What drives them; ends with the backend.
    _urgent: OwnThread,
    /// Wake-ups.
    ear: PgPool,
    pub(crate) lanes: Lanes,
    pub(crate) wake: Arc<Wake>,
    durability: DurabilityClass,
    chores: Chores,
    floors: Floors,
}

impl PostgresBackend {
    /// Connects, makes or upgrades the schema, and reads from the server's settings what it promises. Safe from any
    /// number of processes at once. See the crate's documentation for the URL.
    ///
    /// # Errors
    /// If the URL cannot be read, the server cannot be reached or is older than PostgreSQL 13, the role may not create
    /// the schema, or a newer version of this library has upgraded the schema. The text never holds the URL.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        let options = Options::parse(url).map_err(|text| refused("connect", ErrorKind::Permanent, text))?;
        let server = prepare(options.clone()).await?;
        let statements = Arc::new(Statements::new(&options.schema));
        let thread = OwnThread::start("steadfast-pg").map_err(|e| {
            refused("connect", ErrorKind::Transient, format!("no thread to extend leases on: {e}"))
        })?;
        // A pool's chores live in the runtime that it is made in.
        let urgent = {
            let _inside = thread.handle().enter();
            pool(server.connect.clone(), EXTEND_CONNECTIONS, EXTEND_DEADLINE / 3)
        };
        let calls = |pool, deadline, home| Calls {
            connections: Arc::new(Connections::new(pool)),
            statements: Arc::clone(&statements),
            deadline,
            home,
        };
        let wake = Wake::new(options.schema.as_str().to_owned(), options.listen);
        let inner = Inner {
            calls: calls(pool(server.connect.clone(), options.pool, DEADLINE / 3), DEADLINE, None),
            urgent: calls(urgent, EXTEND_DEADLINE, Some(thread.handle().clone())),
            _urgent: thread,
            ear: pool(server.connect.clone(), EAR_CONNECTIONS, EXTEND_DEADLINE / 3),
            lanes: Lanes::default(),
            wake,
            durability: server.durability,
            chores: Chores::default(),
            floors: Floors::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.inner.calls
    }

    /// Tells this process and others that these queues have work.
    pub(crate) fn wake_all(&self, queues: &[String]) {
        let queues: Vec<_> = queues.iter().filter_map(|q| QueueName::new(q).ok()).collect();
        let names: Vec<_> = queues.iter().collect();
        self.inner.wake.tell(&names, &self.inner.calls);
        for queue in names {
            self.ring(queue);
        }
    }

    pub(crate) fn ring(&self, queue: &QueueName) {
        self.inner.wake.bells.ring(queue);
    }
}

impl Inner {
    /// The lanes of these jobs, registered if they are new.
    pub(crate) async fn lanes_of(&self, jobs: &[&NewJob]) -> Result<Vec<i32>, BackendError> {
        // Only a schema that was dropped meanwhile can make this go round again.
        for _ in 0..3 {
            match self.lanes.of(jobs) {
                Ok(lanes) => {
                    self.open_lines(jobs).await?;
                    return Ok(lanes);
                }
                Err(missing) => {
                    for one in missing {
                        self.register(one).await?;
                    }
                }
            }
        }
        Err(refused("enqueue", ErrorKind::Permanent, "the lanes of the jobs cannot be registered"))
    }

    async fn register(&self, args: Register) -> Result<(), BackendError> {
        let queue = args.queue.clone();
        let rows = self.calls.run("register", args, register).await?;
        self.lanes.learn(queue, rows);
        Ok(())
    }

    async fn jobs(
        &self,
        queue: &QueueName,
        request: &ClaimRequest<'_>,
        claimed: Claimed,
    ) -> Result<Claim, BackendError> {
        if claimed.contended {
            return Ok(Claim::contended());
        }
        let mut fetched = HashMap::new();
        for rows in claimed.missing() {
            fetched.extend(self.calls.run("claim", rows, payloads).await?);
        }
        let lanes = match self.lanes.info(claimed.lanes()) {
            Some(lanes) => lanes,
            None => {
                self.register(Register::look(queue.clone())).await?;
                self.lanes.info(claimed.lanes()).unwrap_or_default()
            }
        };
        let (now, retry_in, ahead) = (claimed.now(), claimed.retry_in(), claimed.ahead(&lanes));
        let mut claim = Claim::new(claimed.jobs(request.lease, request.suspect_leases, &lanes, fetched));
        (claim.now, claim.retry_in, claim.ahead) = (now, retry_in, ahead);
        Ok(claim)
    }

    fn claim_args(queue: &QueueName, request: &ClaimRequest<'_>, verdicts: Verdicts) -> ClaimArgs {
        ClaimArgs {
            queue: queue.as_str().to_owned(),
            kinds: request.kinds.iter().map(|k| k.as_str().to_owned()).collect(),
            limit: i32::try_from(request.limit).unwrap_or(i32::MAX),
            lease: request.lease.as_uuid(),
            worker: request.worker.as_uuid(),
            lease_for: micros(request.lease_for),
            suspects: request.suspect_leases.iter().map(|l| l.as_uuid()).collect(),
            solo: request.solo,
            ahead: request.ahead.iter().map(|n| i32::try_from(*n).unwrap_or(i32::MAX)).collect(),
            verdicts,
        }
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn info(&self) -> BackendInfo {
        BackendInfo::new(NAME, self.inner.durability, BATCH_MAX)
    }

    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.inner.declare(queue, declared).await
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        self.inner.adapt_limit(limit, step).await
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.inner.close_limit(limit, period).await
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.inner;
        let unique = distinct(jobs);
        let lanes = inner.lanes_of(&unique).await?;
        let mut batch = Batch::new(&unique, lanes)?;
        let queues = queues(&unique);
        batch.channel = inner.wake.channel().to_owned();
        batch.notify = inner.wake.leading(&queues, &inner.calls);
        let holders = inner.calls.run("enqueue", batch, enqueue).await.map_err(|e| explain(e, &unique))?;
        for queue in queues {
            inner.wake.bells.ring(queue);
        }
        Ok(answers(jobs, &unique, holders))
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        let args = Inner::claim_args(queue, request, Verdicts::default());
        let claimed = self.inner.calls.run("claim", args, claim).await?;
        self.inner.jobs(queue, request, claimed).await.map_err(BackendError::in_part)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let (verdicts, places) = Verdicts::new(settlements);
        if places.is_empty() {
            return Ok(vec![Settled::Stale; settlements.len()]);
        }
        let follow: Vec<_> = settlements.iter().flat_map(|s| &s.follow_ups).collect();
        if !follow.is_empty() {
            self.inner.lanes_of(&follow).await?;
        }
        let follow_ups = follow_ups(settlements, &places, &self.inner.lanes)?;
        let args = Settle { queue: queue.clone(), verdicts, follow_ups };
        let sent = self.inner.calls.run("settle", args, settle::settle).await?;
        for queue in queues(&follow) {
            self.inner.wake.bells.ring(queue);
        }
        Ok(settle::answers(settlements.len(), &places, &sent))
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        if settlements.iter().any(|s| !s.follow_ups.is_empty()) {
            let settled = self.settle(queue, settlements).await?;
            let claim = self.claim(queue, request).await.map_err(BackendError::in_part)?;
            return Ok((settled, claim));
        }
        let (verdicts, places) = Verdicts::new(settlements);
        let args = Inner::claim_args(queue, request, verdicts);
        let mut claimed = self.inner.calls.run("settle and claim", args, claim).await?;
        let sent = claimed.answers.take().unwrap_or_default();
        let settled = settle::answers(settlements.len(), &places, &sent);
        let claim = self.inner.jobs(queue, request, claimed).await.map_err(BackendError::in_part)?;
        Ok((settled, claim))
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        if leases.is_empty() {
            return Ok(Extended::default());
        }
        let ids: Vec<Uuid> = leases.iter().map(|l| l.as_uuid()).collect();
        let args = (queue.as_str().to_owned(), ids, micros(lease_for));
        let (held, cancel) = self.inner.urgent.run("extend", args, extend).await?;
        let held: HashSet<Uuid> = held.unwrap_or_default().into_iter().collect();
        let status =
            |l: &LeaseId| if held.contains(&l.as_uuid()) { LeaseStatus::Held } else { LeaseStatus::Stale };
        Ok(Extended {
            leases: leases.iter().map(status).collect(),
            cancel: cancel.unwrap_or_default().into_iter().map(JobId::from_uuid).collect(),
        })
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let Some(spot) = Spot::of(queue, hold) else { return Ok(LeaseStatus::Stale) };
        let held = self.inner.calls.run("save", Save::new(spot, edits), save).await?;
        Ok(if held { LeaseStatus::Held } else { LeaseStatus::Stale })
    }

    async fn notes(&self, _: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        self.inner.calls.run("notes", hold.job.as_uuid(), notes).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let inner = &self.inner;
        let limit = i32::try_from(request.limit).unwrap_or(i32::MAX);
        let name = || queue.as_str().to_owned();
        let mut done = Maintained::default();
        let from = inner.floors.begin(queue);
        let args = (name(), limit, from.floor);
        let (promoted, more, next, seen) = inner.calls.run("promote", args, promote).await?;
        let again = inner.floors.end(queue, from, &seen);
        (done.promoted, done.more) = (count(promoted), more || again);
        done.next_due = next.map(|us| Duration::from_micros(count(us)));
        if request.reap {
            let poison = i32::try_from(request.poison_limit).unwrap_or(i32::MAX);
            let (leases, returned, poisoned, more) =
                inner.calls.run("reap", (name(), limit, poison), reap).await?;
            done.leases_reaped = count(leases);
            done.jobs_returned = count(returned);
            done.poisoned = count(poisoned);
            done.more |= more;
        }
        if inner.chores.counts_ends(queue) {
            let woken = inner.calls.run("advance", limit, advance).await?;
            self.wake_all(&woken);
        }
        let (audit_due, prune_due) = inner.chores.due(queue);
        if audit_due {
            done.repaired = count(inner.calls.run("audit", name(), audit).await?);
            if done.repaired > 0 {
                tracing::error!(%queue, jobs = done.repaired, "found jobs that no claim would have: please report it");
            }
        }
        if prune_due {
            let mut pruning = inner.chores.prune(queue);
            done.pruned = count(inner.calls.run("prune", (name(), PRUNE_MAX), prune).await?);
            pruning.full = done.pruned >= u64::from(PRUNE_MAX.unsigned_abs());
            done.more |= pruning.full;
        }
        if let Some(kept) = request.dead_kept {
            let args = (name(), micros(kept), limit);
            done.dead_pruned = count(inner.calls.run("prune", args, prune_dead).await?);
            done.more |= done.dead_pruned >= u64::from(request.limit);
        }
        if done.promoted + done.jobs_returned + done.repaired > 0 {
            inner.wake.bells.ring(queue);
        }
        Ok(done)
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.inner.put_schedules(queue, schedules).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.inner.schedules(queue).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.inner.fire(queue, request).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.wake.listen(&self.inner.ear);
        self.inner.wake.bells.wait(queue).await;
        Ok(())
    }
}

/// The most old records of each sort deleted in one call.
const PRUNE_MAX: i32 = 10_000;

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
