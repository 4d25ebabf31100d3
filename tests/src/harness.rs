//! What a check gets: a fresh store, and a way to let its time pass.

use crate::Take;
use futures_util::future::poll_fn;
use job_core::{
    BackendError, Effect, Enqueued, ErrorReport, Hold, IntoBackend, JobId, JobRecord, JobState, Kind,
    ListFilter, MaintainRequest, Maintained, NewJob, Operate, QueueName, QueueStats, Settled, Settlement,
    Verdict,
};
use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The queue that checks use.
pub const QUEUE: QueueName = QueueName::from_static("conformance");
/// The kind that checks use.
pub const KIND: Kind = Kind::from_static("kit.job");
/// Another kind.
pub const OTHER_KIND: Kind = Kind::from_static("kit.other");
/// A lease that does not expire during a check.
pub const LONG: Duration = Duration::from_secs(120);

/// How long a check waits for what must happen soon, on a real clock.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fresh store and its clock.
pub struct Harness {
    /// The store.
    pub backend: Arc<dyn Operate>,
    unit: Duration,
    paused: bool,
    wakes: bool,
    guards: Vec<Box<dyn Any + Send>>,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness")
            .field("backend", &self.backend)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}

impl Harness {
    /// A store that lives by tokio's clock, which is paused from here on: time passes only when a check says so.
    #[must_use]
    pub fn paused(backend: impl IntoBackend) -> Self {
        tokio::time::pause();
        Self::new(backend.into_backend(), Duration::from_secs(1), true)
    }

    /// A store with a clock of its own, such as a server: checks wait real time, with short leases.
    #[must_use]
    pub fn real_time(backend: impl IntoBackend) -> Self {
        Self::new(backend.into_backend(), Duration::from_millis(100), false)
    }

    fn new(backend: Arc<dyn Operate>, unit: Duration, paused: bool) -> Self {
        Self { backend, unit, paused, wakes: false, guards: Vec::new() }
    }

    /// The same with another unit of time; longer for a store that is slow to answer. A call must take much less.
    #[must_use]
    pub fn with_unit(mut self, unit: Duration) -> Self {
        self.unit = unit;
        self
    }

    /// A store whose `wait` returns when a job is enqueued; without this it may as well never return.
    #[must_use]
    pub fn with_wake_ups(mut self) -> Self {
        self.wakes = true;
        self
    }

    /// Drops `guard` when the check is over: a temporary database, say.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// The unit of time: short leases and delays are a few of it.
    #[must_use]
    pub fn unit(&self) -> Duration {
        self.unit
    }

    /// `n` units.
    #[must_use]
    pub fn units(&self, n: u32) -> Duration {
        self.unit * n
    }

    /// True if `wait` must return when a job is enqueued.
    #[must_use]
    pub fn wakes(&self) -> bool {
        self.wakes
    }

    /// The moments at which a call can be dropped: after so many polls, and on a real clock after so much time.
    #[must_use]
    pub fn cuts(&self) -> Vec<Cut> {
        let polls = (0..8).map(Cut::Polls);
        let times =
            [50, 200, 500, 1_000, 2_000, 4_000, 8_000].map(|us| Cut::After(Duration::from_micros(us)));
        polls.chain(times.into_iter().filter(|_| !self.paused)).collect()
    }

    /// Makes a call from each of `n` threads at once; `call` is given the store and the number of the thread.
    pub async fn on_threads<T, F>(
        &self,
        n: usize,
        call: impl Fn(Arc<dyn Operate>, usize) -> F + Clone + Send + 'static,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let start = Arc::new(Barrier::new(n));
        let threads = (0..n).map(|thread| {
            let (backend, call, start) = (Arc::clone(&self.backend), call.clone(), Arc::clone(&start));
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || {
                start.wait();
                runtime.block_on(call(backend, thread))
            })
        });
        let threads: Vec<_> = threads.collect();
        let mut answers = Vec::new();
        for thread in threads {
            answers.push(thread.await.expect("a thread does not panic"));
        }
        answers
    }

    /// Lets the time of the store pass.
    pub async fn pass(&self, time: Duration) {
        if self.paused {
            tokio::time::advance(time).await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    /// Lets time pass until this instant of tokio's clock.
    pub async fn pass_until(&self, instant: Instant) {
        self.pass(instant.saturating_duration_since(Instant::now())).await;
    }

    /// Tries until `attempt` gives something.
    ///
    /// # Panics
    /// If that takes longer than anything should.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> T {
        let deadline = Instant::now() + PATIENCE.max(self.unit * 20);
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            self.pass(self.unit / 20).await;
        }
    }

    /// Enqueues, which must work.
    pub async fn enqueue(&self, jobs: &[NewJob]) -> Vec<Enqueued> {
        let answers = self.backend.enqueue(jobs).await.expect("enqueue works");
        assert_eq!(answers.len(), jobs.len(), "C9: one answer for each job");
        answers
    }

    /// Enqueues one job, which must work.
    pub async fn enqueue_one(&self, job: &NewJob) -> Enqueued {
        self.enqueue(std::slice::from_ref(job)).await[0]
    }

    /// Starts to describe a claim.
    #[must_use]
    pub fn take(&self, limit: u32) -> Take<'_> {
        Take::new(self, limit)
    }

    /// Settles, which must work.
    pub async fn settle_all(&self, settlements: &[Settlement]) -> Vec<Settled> {
        let answers = self.backend.settle(&QUEUE, settlements).await.expect("settle works");
        assert_eq!(answers.len(), settlements.len(), "C9: one answer for each verdict");
        answers
    }

    /// Settles one job, which must work.
    pub async fn settle(&self, hold: Hold, verdict: Verdict) -> Settled {
        self.settle_all(&[Settlement::new(hold, verdict)]).await[0]
    }

    /// Settles one job, which must be applied.
    pub async fn apply(&self, hold: Hold, verdict: Verdict) {
        let said = format!("{verdict:?}");
        assert_eq!(
            self.settle(hold, verdict).await,
            Settled::Applied,
            "a first, held verdict is applied: {said}"
        );
    }

    /// One round of maintenance, which must work.
    pub async fn maintain(&self) -> Maintained {
        self.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works")
    }

    /// Maintains until this many leases have been ended.
    pub async fn reap(&self, leases: u64) -> Maintained {
        let mut total = Maintained::default();
        let total = &mut total;
        let deadline = Instant::now() + PATIENCE.max(self.unit * 20);
        while total.leases_reaped < leases {
            assert!(
                Instant::now() < deadline,
                "C4: only {} of {leases} expired leases ended",
                total.leases_reaped
            );
            let done = self.maintain().await;
            total.leases_reaped += done.leases_reaped;
            total.jobs_returned += done.jobs_returned;
            total.poisoned += done.poisoned;
            if total.leases_reaped < leases {
                self.pass(self.unit / 20).await;
            }
        }
        total.clone()
    }

    /// Maintains until this many jobs have been promoted.
    pub async fn promote(&self, jobs: u64) {
        let mut promoted = 0;
        let deadline = Instant::now() + PATIENCE.max(self.unit * 20);
        while promoted < jobs {
            assert!(Instant::now() < deadline, "only {promoted} of {jobs} due jobs became ready");
            promoted += self.maintain().await.promoted;
            if promoted < jobs {
                self.pass(self.unit / 20).await;
            }
        }
    }

    /// Claims everything under a short lease, lets it expire and ends it, as after a crash. Answers the claimed jobs'
    /// number.
    pub async fn crash(&self, take: Take<'_>) -> usize {
        let jobs = take.lease_for(self.units(2)).jobs().await;
        let mut leases: Vec<_> = jobs.iter().map(|j| j.hold.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        self.pass(self.units(3)).await;
        self.reap(leases.len() as u64).await;
        jobs.len()
    }

    /// The job with this id, which must be stored.
    pub async fn record(&self, id: JobId) -> JobRecord {
        self.find(id).await.expect("the job is stored")
    }

    /// The job with this id, if it is stored.
    pub async fn find(&self, id: JobId) -> Option<JobRecord> {
        self.backend.get(id).await.expect("get works")
    }

    /// The ids of the first jobs in a state.
    pub async fn ids(&self, state: JobState) -> Vec<JobId> {
        let filter = ListFilter { limit: 10_000, ..ListFilter::new(QUEUE, state) };
        self.backend.list(&filter).await.expect("list works").jobs.iter().map(|j| j.id).collect()
    }

    /// The numbers of the queue.
    pub async fn stats(&self) -> QueueStats {
        self.backend.stats(&QUEUE).await.expect("stats work")
    }
}

/// A job of [`KIND`] in [`QUEUE`].
#[must_use]
pub fn job() -> NewJob {
    NewJob::new(KIND, QUEUE, "{}")
}

/// So many of them.
#[must_use]
pub fn jobs(n: usize) -> Vec<NewJob> {
    (0..n).map(|_| job()).collect()
}

/// The text of a failure.
#[must_use]
pub fn report(text: &str) -> ErrorReport {
    ErrorReport::new(text)
}

/// True if the error says that nothing was changed.
#[must_use]
pub(crate) fn is_not_applied(error: &BackendError) -> bool {
    error.effect() == Effect::NotApplied
}

/// When a call is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After it was polled so often.
    Polls(usize),
    /// After so much time.
    After(Duration),
}

/// Lets a future go on until the cut and then drops it, wherever it is; its output if it ended before.
pub async fn abandon<F: Future>(future: F, cut: Cut) -> Option<F::Output> {
    let mut left = match cut {
        Cut::Polls(polls) => polls,
        Cut::After(time) => return tokio::time::timeout(time, future).await.ok(),
    };
    let mut future = pin!(future);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
