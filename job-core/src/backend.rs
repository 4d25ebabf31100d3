//! The contract between the runtime and a store.

use crate::error::BackendError;
use crate::limits::{Declared, LimitName, LimitStep};
use crate::new_job::{Headers, NewJob, Priority};
use crate::note::{NoteEdit, Notes};
use crate::schedule::{FireRequest, Fired, ScheduleDef, Schedules};
use crate::verdict::{Settled, Settlement};
use crate::{JobId, Kind, LeaseId, QueueName, WorkerId};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;

/// A store of jobs.
///
/// # Contract
/// The conformance kit (`job-conformance`) has checks for every clause; a backend that passes `suite!` can be used.
///
/// - **C1** `Ok` from [`enqueue`](Self::enqueue) means durable to the class in [`info`](Self::info).
/// - **C2** At most one live lease per job.
/// - **C3** A verdict or extension carries its lease. One that is no longer current changes nothing and answers
///   `Stale`; repeating a verdict already applied answers `AlreadyApplied`. An expired lease stays current until it
///   is reaped.
/// - **C4** Expired leases are ended by [`maintain`](Self::maintain), from any process, without a leader. A reap of
///   a normal lease makes its jobs *suspects* and charges nothing (most are innocent); a suspect's own reap counts a
///   crash; a suspect with a crash runs *solo*, and there a reap charges an attempt as well. At
///   `poison_limit` crashes, or with no attempt left, the job is dead.
/// - **C5** Every call may be repeated after an unknown outcome, with the same effect as one call: job and lease ids
///   are made by the client. A repeated enqueue never revives a finished job (remembered for 24 h or more); a repeated
///   claim with the same lease id returns the same jobs. Errors say `NotApplied` or `Unknown`.
/// - **C6** Claim order: priority (0 first), within it returned jobs (released, reaped) first, then enqueue order; inside of one
///   call, jobs that take the place of others may come before the rest.
/// - **C7** Only the store's clock decides; callers send durations, and a claim with jobs tells what the clock says.
/// - **C8** Dropping a future leaves the call applied or not applied, nothing between.
/// - **C9** Batch answers have the length and order of the batch. A batch for one queue is applied as a whole or not at
///   all; a store that keeps queues apart may apply one for several queues part by part, and answers `Unknown` if it
///   fails in between.
/// - **C10** A claim returns only the kinds it names; other kinds lose no attempt. Payloads come back byte for byte.
/// - **C11** A tick of a schedule is fired at most once for each version of it, by any number of processes: its jobs are stored in
///   the step that moves the watermark past it, and that step is refused if version or watermark are not those that were
///   looked at, if the schedule is paused, or if the store's clock has not come so far. Another definition, like the end of a
///   pause, moves the watermark to now: nothing from before is made up for.
/// - **C12** A claim counts each job under the limits of its kind: those [declared](Self::declare) for it, that of the kind and
///   that of the queue. Under a limit live leases never hold more slots than its concurrency, over all queues and processes: one for
///   each of their jobs, but for what a claim took [ahead](Claim::ahead) no more than it says. Only a live lease counts, so
///   nothing can leak. Where the rule adapts, the concurrency is what [steps](Self::adapt_limit) have made of it, for claims
///   from then on. In any time `t` at most `burst + t * rate` jobs are claimed under it. Jobs that have to wait for a limit hold
///   up no others.
///   A job with a line (the header [`NewJob::LINE_HEADER`]) waits in that of its queue, kind and key: by priority, returned jobs
///   first, then in the order in which they became ready. Lines take turns: a turn gives up to as many jobs as the line's
///   weight, then the line goes behind all others; one that may give nothing is passed over, so nothing is left idle. A line
///   gives no more than its kind's [`KindLimits::line`](crate::KindLimits::line) allows, counting what has left it and has neither
///   ended nor come back; one that is `ordered` stands still from a claim until that job has ended or is dead. If both jobs
///   in lines and jobs without are ready, each get about half of a claim, however small.
/// - **C13** Notes are written under the lease of their job, all of a call or none; a lease that is no longer current
///   changes nothing. They live as long as the job: until it completes, is cancelled or is discarded.
/// - **C14** The end of a job that belongs to a batch counts there exactly once, however it ends: its verdict, a reap, a cancel,
///   a discard, or not being stored because its key is taken. The first death makes the job ready that waits for one, the
///   last end the one that waits for all; at once or by [`maintain`](Self::maintain).
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What the store is and what it promises, as read when the backend connected.
    fn info(&self) -> BackendInfo;

    /// Stores the jobs, all or none (C9), as if one after the other. A job whose idempotency or unique key is taken does what
    /// its [`OnConflict`](crate::OnConflict) says. By default it is not stored; its answer names the job that holds the key, and
    /// so will the answers to its own idempotency key. An error for a taken key is a
    /// [`BackendError::key_taken`](crate::BackendError::key_taken).
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError>;

    /// Tells the store of limits, and of what holds for kinds in this queue, before the first claim and now and then
    /// after. It holds for claims that begin later. What was declared under the same names before is replaced.
    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError>;

    /// Lets nothing be claimed under this limit for so long from now, by anybody; never shortens what was said before. A
    /// limit that nobody has declared can be closed as well.
    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError>;

    /// Takes a step with a limit whose rule adapts (C12), and answers how many jobs may run at one time under it now; `None` if its
    /// rule does not adapt, or nobody has declared it.
    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError>;

    /// Takes up to `limit` ready jobs under the lease of the request, each counted as an attempt.
    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError>;

    /// Applies verdicts, each fenced on its own; one answer each.
    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError>;

    /// [`settle`](Self::settle), then [`claim`](Self::claim), in one round trip where the store can.
    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError>;

    /// Makes these leases last `lease_for` from now; never shortens one.
    ///
    /// The runtime calls this from a thread of its own, so that no handler can stop it. It must get on while the
    /// application's tokio runtime runs no task: connections that it needs are opened and driven elsewhere, as on an
    /// [`OwnThread`](crate::OwnThread).
    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError>;

    /// Writes notes of one job, durably, if the hold is current; answers whether it is (C13). Without edits it only answers:
    /// notes that were read before it, under a hold that is current, are what the job's attempts have written.
    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError>;

    /// The notes of the job that this hold is, or was, the right to. None if the job is gone.
    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError>;

    /// Makes due jobs ready, ends expired leases, deletes what retention allows; a bounded amount of each. Any number
    /// of processes may call it at any time.
    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError>;

    /// Keeps these schedules of a queue, all or none. One that is there with the same definition stays as it is, but for its job,
    /// which is replaced; another definition makes another version, and moves the watermark to now (C11). A pause stays.
    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError>;

    /// The schedules of a queue by name, and what the store's clock says. Every runtime asks for them every second.
    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError>;

    /// One step of a schedule: moves its watermark and stores the jobs of its ticks, both or neither (C11). A repetition with the
    /// same jobs is answered as the first call was, whatever has become of the schedule since (C5).
    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError>;

    /// Returns when there may be something to claim, or a job has come that is due within a second. Only a hint: it may return for
    /// nothing or miss a wake-up; a store without wake-ups never returns.
    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError>;
}

/// What a store is and promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendInfo {
    /// For logs and errors only.
    pub name: &'static str,
    /// What an acknowledged enqueue survives.
    pub durability: DurabilityClass,
    /// The most jobs in one enqueue, claim or settle; the client and runtime split larger ones.
    pub batch_max: usize,
}

impl BackendInfo {
    /// The description of a store.
    #[must_use]
    pub const fn new(name: &'static str, durability: DurabilityClass, batch_max: usize) -> Self {
        Self { name, durability, batch_max }
    }
}

/// What an acknowledged enqueue survives, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DurabilityClass {
    /// Nothing: it is gone with the process that holds it.
    Volatile,
    /// A crash of the store's process, but not a power loss.
    ProcessCrash,
    /// A power loss of the store's machine, but not the loss of its disk.
    LocalDisk,
    /// The loss of the primary.
    SyncReplicated,
}

/// The answer to one enqueued job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job that stands for the request: the new one, or the one that holds its key.
    pub id: JobId,
    /// True if no job was stored because another one holds its idempotency or unique key.
    pub deduplicated: bool,
    /// The job whose place it took, which is gone.
    pub replaced: Option<JobId>,
}

impl Enqueued {
    /// The job was stored.
    #[must_use]
    pub const fn stored(id: JobId) -> Self {
        Self { id, deduplicated: false, replaced: None }
    }

    /// Nothing was stored: this job holds the key.
    #[must_use]
    pub const fn existing(holder: JobId) -> Self {
        Self { id: holder, deduplicated: true, replaced: None }
    }

    /// The job was stored in the place of another one.
    #[must_use]
    pub const fn replacing(id: JobId, replaced: JobId) -> Self {
        Self { id, deduplicated: false, replaced: Some(replaced) }
    }
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// The lease that the jobs will share, made by the client for this claim.
    pub lease: LeaseId,
    /// Who claims, for people who look.
    pub worker: WorkerId,
    /// The kinds that the worker can run.
    pub kinds: &'a [Kind],
    /// The most jobs to take.
    pub limit: u32,
    /// How long the lease lasts without an extension.
    pub lease_for: Duration,
    /// One lease for each suspect that may be taken, on top of `limit`; made by the client for this claim.
    pub suspect_leases: &'a [LeaseId],
    /// True if no suspect runs in this process: then one *solo* suspect may be taken, if no other suspect is.
    pub solo: bool,
    /// For each of `kinds`, how many jobs may be taken [ahead](Claim::ahead) for each slot that the claim gets under a limit of
    /// concurrency, within `limit`; empty for none. Only a permission: a store need not make use of it, and does not where
    /// others wait for the same slots. Whoever gives it obeys the answer.
    pub ahead: &'a [u32],
}

/// What a claim got.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Claim {
    /// The jobs, in the order in which to start them.
    pub jobs: Vec<ClaimedJob>,
    /// True if nothing was looked at because another claim was under way: try again soon.
    pub contended: bool,
    /// What the store's clock said while it answered; later than it never, so a little earlier where it must be. Jobs that
    /// have to start or end by some time need it: a store that does not tell it lets none of them expire.
    pub now: Option<Timestamp>,
    /// If jobs were left because of a limit: when it makes sense to ask again although nothing has been settled.
    pub retry_in: Option<Duration>,
    /// If more jobs of a kind were taken than a limit had slots for: how many of them may run at a time.
    pub ahead: Option<Ahead>,
}

/// What a claim took ahead, so that the next job is at hand when one ends. It shares the lease of the claim, and whoever holds
/// that runs no more than `slots` of these jobs at a time. A repetition of the claim says the same; a backend around another one
/// passes it on, or does not pass [`ClaimRequest::ahead`] on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// All jobs of this kind that share the lease of the claim.
    pub kind: Kind,
    /// The slots that the claim got, at least one.
    pub slots: u32,
}

impl Claim {
    /// A claim of these jobs.
    #[must_use]
    pub fn new(jobs: Vec<ClaimedJob>) -> Self {
        Self { jobs, ..Self::default() }
    }

    /// A claim that found another one under way.
    #[must_use]
    pub fn contended() -> Self {
        Self { contended: true, ..Self::default() }
    }
}

/// The right to one claimed job; every verdict carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The job.
    pub job: JobId,
    /// The lease that covers it.
    pub lease: LeaseId,
    /// How often the job has been claimed, this time included. Only ever grows, except that a store that crashes may
    /// forget its last claims and give their numbers again, under other leases.
    pub claims: u64,
    /// Where the store finds the job again; means nothing to anybody else.
    pub locator: [i64; 3],
}

/// How carefully a claimed job is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing is held against it.
    None,
    /// A process died while it ran there among others.
    Suspect,
    /// A process died while it ran there under its own lease.
    Solo,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedJob {
    /// The right to it.
    pub hold: Hold,
    /// The wire name.
    pub kind: Kind,
    /// How soon it runs.
    pub priority: Priority,
    /// This attempt, 1 for the first.
    pub attempt: u32,
    /// The number of attempts it may have; `u32::MAX` is unlimited.
    pub max_attempts: u32,
    /// Whether it has been near a crash.
    pub suspicion: Suspicion,
    /// The arguments, byte for byte as enqueued.
    pub payload: Bytes,
    /// The version of the arguments.
    pub version: u32,
    /// Trace context and the like.
    pub headers: Headers,
    /// The idempotency key as `scope:key`, if it was enqueued with one.
    pub idempotency_key: Option<String>,
    /// When the store took the job.
    pub enqueued_at: Timestamp,
}

/// The answer to an extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extended {
    /// One answer a lease.
    pub leases: Vec<LeaseStatus>,
    /// Jobs under these leases whose cancellation has been asked for.
    pub cancel: Vec<JobId>,
}

/// Whether a lease is still current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStatus {
    /// It now lasts the time asked for.
    Held,
    /// It has ended: reaped, or all its jobs are settled.
    Stale,
}

/// How much maintenance to do.
#[derive(Debug, Clone)]
pub struct MaintainRequest {
    /// False leaves expired leases alone, after an outage during which nobody could extend.
    pub reap: bool,
    /// The most jobs to promote, and the most leases to end, in one call.
    pub limit: u32,
    /// Crashes after which a job is dead.
    pub poison_limit: u32,
    /// How long dead jobs are kept; older ones are removed for good, a bounded number in one call. `None` is for ever. Who makes
    /// the request sees to it that it is long enough for people.
    pub dead_kept: Option<Duration>,
}

impl Default for MaintainRequest {
    fn default() -> Self {
        Self { reap: true, limit: 1_000, poison_limit: 3, dead_kept: None }
    }
}

/// What maintenance did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// Scheduled and retrying jobs that became ready.
    pub promoted: u64,
    /// Leases that were ended.
    pub leases_reaped: u64,
    /// Jobs that came back from ended leases.
    pub jobs_returned: u64,
    /// Jobs that went dead because they killed their process.
    pub poisoned: u64,
    /// Old records that were deleted.
    pub pruned: u64,
    /// Dead jobs that were removed because they had been dead for too long.
    pub dead_pruned: u64,
    /// Jobs that an audit found where no claim would have; a bug if it is ever above 0.
    pub repaired: u64,
    /// True if a limit was reached and there is more to do now.
    pub more: bool,
    /// How long until the next scheduled job is due, if one is.
    pub next_due: Option<Duration>,
}
