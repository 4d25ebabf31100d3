//! The backend.

use crate::claim::Wanted;
use crate::error::{NAME, not_sent, refused, unreadable};
use crate::limits::{Homes, Recent};
use crate::link::{Link, Target};
use crate::options::Options;
use crate::queue::Queue;
use crate::reply;
use crate::rights;
use crate::script::{Call, WIDEN};
use crate::server;
use crate::wake::Wake;
use async_trait::async_trait;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, Declared, DurabilityClass, Effect, Enqueued,
    ErrorKind, Extended, FireRequest, Fired, Hold, LeaseId, LeaseStatus, LimitName, LimitStep,
    MaintainRequest, Maintained, NewJob, NoteEdit, Notes, OwnThread, QueueName, ScheduleDef, Schedules,
    Settled, Settlement,
};
use redis::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most jobs in one call: a server does nothing else meanwhile.
const BATCH_MAX: usize = 1_000;

/// A call that takes longer than this has an unknown outcome, and its connection is dropped.
const DEADLINE: Duration = Duration::from_secs(15);

/// An extension that takes longer than this is tried again: a lease is at stake.
const EXTEND_DEADLINE: Duration = Duration::from_secs(5);

/// How often the server is asked whether it would throw jobs away, and a page of the jobs looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Jobs in a Redis or Valkey server, or in a cluster of them. Cheap to clone; the clones share their connections.
#[derive(Debug, Clone)]
pub struct RedisBackend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) link: Arc<Link>,
    /// Enqueues that wait for other servers: they would hold up everything behind them.
    pub(crate) slow: Arc<Link>,
    /// Extensions wait neither for a busy connection nor for a busy runtime.
    pub(crate) urgent: Arc<Link>,
    /// What drives them; ends with the backend.
    _urgent: OwnThread,
    ear: Ear,
    pub(crate) wake: Arc<Wake>,
    durability: DurabilityClass,
    queues: Mutex<HashMap<QueueName, Arc<Queue>>>,
    pub(crate) homes: Recent<Homes>,
    /// True if all keys are on one server, so that a script may touch any.
    pub(crate) together: bool,
    /// Why the server does not keep what it is given.
    trouble: Mutex<Option<String>>,
}

struct Ear(Target);

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

impl RedisBackend {
    /// Connects, and reads from the server's settings what it promises. See the crate's documentation for the URL.
    ///
    /// # Errors
    /// If the URL cannot be read, the server cannot be reached, is older than Redis 6.2, or evicts keys when its memory is
    /// full, or if the user lacks a right. The text never holds the URL.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        const OPERATION: &str = "connect";
        let options = Options::parse(url).map_err(|text| refused(OPERATION, ErrorKind::Permanent, text))?;
        let target = target(&options).await?;
        let thread = OwnThread::start("steadfast-redis").map_err(|e| {
            refused(OPERATION, ErrorKind::Transient, format!("no thread to extend leases on: {e}"))
        })?;
        let link = Link::new(target.clone(), DEADLINE, None);
        server::check(&link).await?;
        let wake = Wake::new(format!("{}:wake", options.prefix), options.listen);
        rights::check(&link, &options, wake.channel()).await?;
        let inner = Inner {
            durability: server::durability(&link).await?,
            link,
            slow: Link::new(target.clone(), DEADLINE.max(Duration::from_secs(90)), None),
            urgent: Link::new(target.clone(), EXTEND_DEADLINE, Some(thread.handle().clone())),
            _urgent: thread,
            wake,
            queues: Mutex::default(),
            homes: Recent::default(),
            together: !target.is_cluster(),
            trouble: Mutex::default(),
            options,
            ear: Ear(target),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the server still keeps what it is given, as far as was last seen: it is looked at every five seconds while
    /// a runtime works on it. While it is not, enqueues and claims are refused.
    ///
    /// # Errors
    /// If the server's `maxmemory-policy` has been changed to one that deletes keys; the text says how to mend it.
    pub fn ready(&self) -> Result<(), BackendError> {
        self.inner.ready("ready")
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// A cluster is told by its nodes.
async fn target(options: &Options) -> Result<Target, BackendError> {
    let single = Target::single(options).map_err(|e| not_sent("connect", e))?;
    let is_cluster =
        options.nodes.len() > 1 || server::is_cluster(&Link::new(single.clone(), DEADLINE, None)).await?;
    if !is_cluster {
        return Ok(single);
    }
    if options.nodes.iter().any(|n| n.redis_settings().db() != 0) {
        let text = "a cluster has only database 0: use a prefix instead";
        return Err(refused("connect", ErrorKind::Permanent, text));
    }
    single.cluster(options).map_err(|e| not_sent("connect", e))
}

impl Inner {
    pub(crate) fn queues_key(&self) -> String {
        format!("{}:queues", self.options.prefix)
    }

    /// What is known about a queue; the first time, it is entered in the list of queues.
    pub(crate) async fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, BackendError> {
        let known = self.queues.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone);
        if let Some(queue) = known {
            return Ok(queue);
        }
        let queue = self.queue_unread(name).await?;
        for shard in &queue.shards {
            self.learn_kinds(shard).await?;
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(queues.entry(name.clone()).or_insert_with(|| Arc::new(queue))))
    }

    /// The queue without the numbers of its kinds.
    pub(crate) async fn queue_unread(&self, name: &QueueName) -> Result<Queue, BackendError> {
        let first = Queue::new(&self.options.prefix, name, 1);
        let mut call = WIDEN.call(&first.shards[0].tag, &[]);
        call.cmd.arg(self.options.shards);
        let shards = reply::int(&self.link.run(call).await?).and_then(|n| u32::try_from(n).ok());
        self.enter(name).await?;
        Ok(Queue::new(&self.options.prefix, name, shards.ok_or_else(|| unreadable("connect"))?))
    }

    /// Runs a script whose writes must be with as many servers as the URL asks for. Whether they are is told beside the answer,
    /// for a script that has refused has written nothing.
    pub(crate) async fn run_and_keep(
        &self,
        call: Call,
        done: &str,
    ) -> Result<(Value, Result<(), BackendError>), BackendError> {
        let Some(wait) = self.options.wait else { return Ok((self.link.run(call).await?, Ok(()))) };
        let operation = call.script.operation;
        let (answer, enough) = self.slow.run_and_wait(call, wait).await?;
        let kept = if enough {
            Ok(())
        } else {
            let text = format!("{done}, but not by as many servers as the URL asks for");
            Err(BackendError::new(NAME, operation, ErrorKind::Transient, Effect::Unknown, text))
        };
        Ok((answer, kept))
    }

    async fn enter(&self, name: &QueueName) -> Result<(), BackendError> {
        let word = |word: &str| {
            let mut cmd = redis::cmd(word);
            cmd.arg(self.queues_key()).arg(name.as_str());
            cmd
        };
        // A full server takes nothing in, but what it has can be worked off.
        let known = self.link.command("connect", word("SISMEMBER")).await?;
        if reply::int(&known) != Some(1) {
            self.link.command("connect", word("SADD")).await?;
        }
        Ok(())
    }

    fn ready(&self, operation: &'static str) -> Result<(), BackendError> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(text) => Err(refused(operation, ErrorKind::Transient, text.clone())),
        }
    }

    /// Looks at what could be changed while the server runs; answers how many jobs nothing would have found.
    async fn look_after(&self, queue: &Queue) -> Result<u64, BackendError> {
        let trouble = server::evicts(&self.link).await?;
        if let Some(text) = &trouble {
            tracing::error!("{text}");
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        // Somebody may have emptied the server.
        self.enter(&queue.name).await?;
        let repaired = self.audit(queue).await?;
        if repaired > 0 {
            tracing::error!(
                queue = %queue.name,
                jobs = repaired,
                "found jobs that no claim would have: unless somebody changed keys by hand, please report it"
            );
        }
        Ok(repaired)
    }
}

#[async_trait]
impl Backend for RedisBackend {
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
        self.inner.ready("enqueue")?;
        self.inner.enqueue(jobs).await
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        self.inner.ready("claim")?;
        let queue = self.inner.queue(queue).await?;
        let concerns = self.inner.concerns(&queue, request.kinds).await?;
        let mut wanted = Wanted::new(request, &queue, concerns);
        let jobs = self.inner.claim_rest(&queue, &mut wanted, None).await?;
        Ok(wanted.claim(jobs))
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let queue = self.inner.queue(queue).await?;
        Ok(self.inner.settle(&queue, settlements, None).await?.0)
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        self.inner.ready("settle and claim")?;
        let queue = self.inner.queue(queue).await?;
        let concerns = self.inner.concerns(&queue, request.kinds).await?;
        let mut wanted = Wanted::new(request, &queue, concerns);
        let (settled, jobs) = self.inner.settle(&queue, settlements, Some(&mut wanted)).await?;
        Ok((settled, wanted.claim(jobs)))
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
        let queue = self.inner.queue(queue).await?;
        self.inner.extend(&queue, leases, lease_for).await
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let queue = self.inner.queue(queue).await?;
        self.inner.save(&queue, hold, edits).await
    }

    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        let queue = self.inner.queue(queue).await?;
        self.inner.notes(&queue, hold).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let queue = self.inner.queue(queue).await?;
        let repaired = if queue.is_due(LOOK_EVERY) { self.inner.look_after(&queue).await? } else { 0 };
        let mut done = self.inner.maintain(&queue, request).await?;
        done.repaired = repaired;
        Ok(done)
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.inner.put_schedules(queue, schedules).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        self.inner.schedules(queue).await
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        self.inner.ready("fire")?;
        self.inner.fire(queue, request).await
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.wake.listen(&self.inner.ear.0);
        self.inner.wake.bells.wait(queue).await;
        Ok(())
    }
}
