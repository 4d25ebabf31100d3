//! The handle and its contract.

use crate::queue::Queue;
use crate::state::State;
use crate::sync::{Mutex, MutexGuard};
use async_trait::async_trait;
use jiff::Timestamp;
use job_core::{
    AlertReport, Amendment, Backend, BackendError, BackendInfo, BatchId, BatchRecord, Cancelled, Claim,
    ClaimRequest, Declared, DurabilityClass, Effect, Enqueued, ErrorKind, Extended, FireRequest, Fired,
    Gauges, Hold, JobId, JobRecord, Kind, LeaseId, LeaseStatus, LimitName, LimitRecord, LimitRule, LimitStep,
    LineRecord, ListFilter, MaintainRequest, Maintained, NewJob, NoteEdit, Notes, Operate, OperationEntry,
    OperationNote, Page, QueueName, QueueStats, RaisedAlert, ScheduleChange, ScheduleDef, ScheduleName,
    Schedules, Settled, Settlement,
};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const NAME: &str = "memory";
const BATCH_MAX: usize = 10_000;

/// A store in the memory of this process; clones share it.
///
/// ```
/// use backend_memory::MemoryBackend;
/// let client = job_core::Client::new(MemoryBackend::new());
/// ```
#[derive(Clone)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
}

struct Shared {
    /// No call holds it across an await, and none does more than its own batch under it.
    state: Mutex<State>,
}

impl MemoryBackend {
    /// How many jobs a store holds unless told otherwise: a million.
    pub const CAPACITY: usize = 1_000_000;

    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::CAPACITY)
    }

    /// An empty store that holds at most `max_jobs` jobs, dead ones included.
    #[must_use]
    pub fn with_capacity(max_jobs: usize) -> Self {
        Self::of(max_jobs, Timestamp::now())
    }

    /// An empty store whose clock shows this time now, and goes on from there: for tests of what the date decides, such as a
    /// schedule at the end of a month.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self::of(Self::CAPACITY, now)
    }

    fn of(max_jobs: usize, now: Timestamp) -> Self {
        let state = Mutex::new(State::new(max_jobs.min(u32::MAX as usize), now));
        Self { shared: Arc::new(Shared { state }) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock but a broken allocator; then the rest is as good as before.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_room(state: &mut State, operation: &'static str, jobs: &[NewJob]) -> Result<(), BackendError> {
    if state.has_room(jobs) {
        return Ok(());
    }
    let capacity = state.capacity;
    let text = format!(
        "the store is full: it holds at most {capacity} jobs and keys, see MemoryBackend::with_capacity"
    );
    Err(BackendError::new(NAME, operation, ErrorKind::Transient, Effect::NotApplied, text))
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn info(&self) -> BackendInfo {
        BackendInfo::new(NAME, DurabilityClass::Volatile, BATCH_MAX)
    }

    async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.state().declare(queue, declared);
        Ok(())
    }

    async fn adapt_limit(&self, limit: &LimitName, step: LimitStep) -> Result<Option<u32>, BackendError> {
        Ok(self.state().adapt_limit(limit, step))
    }

    async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.state().close_limit(limit, period);
        Ok(())
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        let mut state = self.state();
        check_room(&mut state, "enqueue", jobs)?;
        let now = state.clock.now();
        if let Some(taken) = state.refused(jobs, now) {
            return Err(BackendError::of_key_taken(NAME, taken));
        }
        let answers = state.enqueue(jobs, now);
        Ok(answers)
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.claim(queue, request, now))
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.settle(queue, settlements, now))
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        let settled = state.settle(queue, settlements, now);
        Ok((settled, state.claim(queue, request, now)))
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.extend(queue, leases, lease_for, now))
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.save(queue, hold, edits, now))
    }

    async fn notes(&self, _: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        let state = self.state();
        Ok(Notes { now: state.clock.wall(state.clock.now()), notes: state.notes(hold) })
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.maintain(queue, request, now))
    }

    async fn put_schedules(&self, queue: &QueueName, schedules: &[ScheduleDef]) -> Result<(), BackendError> {
        self.state().put_schedules(queue, schedules);
        Ok(())
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        Ok(self.state().schedules(queue))
    }

    async fn fire(&self, queue: &QueueName, request: &FireRequest<'_>) -> Result<Fired, BackendError> {
        let mut state = self.state();
        check_room(&mut state, "fire", request.jobs)?;
        let now = state.clock.now();
        Ok(state.fire(queue, request, now))
    }

    async fn wait(&self, queue: &QueueName) -> Result<(), BackendError> {
        let waiting = Waiting { backend: self, queue };
        let woken = {
            let mut state = self.state();
            let queue = state.queue_mut(queue);
            queue.waiters += 1;
            // Made under the lock, so that no wake-up falls between counting and listening.
            Arc::clone(&queue.wake).notified_owned()
        };
        woken.await;
        drop(waiting);
        Ok(())
    }
}

/// Counts a caller of `wait` out again, also when its future is dropped.
struct Waiting<'a> {
    backend: &'a MemoryBackend,
    queue: &'a QueueName,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.backend.state();
        let queue: &mut Queue = state.queue_mut(self.queue);
        queue.waiters = queue.waiters.saturating_sub(1);
    }
}

#[async_trait]
impl Operate for MemoryBackend {
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        Ok(self.state().get(id))
    }

    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError> {
        self.state().list(filter).ok_or_else(|| {
            let text = "the cursor is not one of this store";
            BackendError::new(NAME, "list", ErrorKind::Rejected, Effect::NotApplied, text)
        })
    }

    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let mut state = self.state();
        Ok(ids.iter().map(|&id| state.replay(id)).collect())
    }

    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        Ok(self.state().amend(id, amendment))
    }

    async fn run_now(&self, id: JobId) -> Result<bool, BackendError> {
        Ok(self.state().run_now(id))
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        Ok(self.state().batches.record(id))
    }

    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let mut state = self.state();
        Ok(ids.iter().map(|&id| state.discard(id)).collect())
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError> {
        Ok(self.state().cancel(id))
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.state().queue_mut(queue).paused = true;
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        let mut state = self.state();
        let queue = state.queue_mut(queue);
        queue.paused = false;
        if queue.has_ready() {
            queue.wake();
        }
        Ok(())
    }

    async fn set_kind_paused(
        &self,
        queue: &QueueName,
        kind: &Kind,
        paused: bool,
    ) -> Result<(), BackendError> {
        let mut state = self.state();
        let queue = state.queue_mut(queue);
        if paused {
            queue.paused_kinds.insert(kind.clone());
        } else {
            queue.paused_kinds.remove(kind);
            if queue.has_ready() {
                queue.wake();
            }
        }
        Ok(())
    }

    async fn set_limit(&self, limit: &LimitName, rule: Option<LimitRule>) -> Result<(), BackendError> {
        self.state().set_limit(limit, rule);
        Ok(())
    }
    async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError> {
        self.state().open_limit(limit);
        Ok(())
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        Ok(self.state().limits())
    }
    async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        self.state().set_weight(queue, kind, key, weight);
        Ok(())
    }
    async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        Ok(self.state().lines(queue, after, limit))
    }
    async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        Ok(self.state().change_schedule(queue, name, change))
    }

    async fn note_operation(&self, queue: &QueueName, note: &OperationNote) -> Result<(), BackendError> {
        self.state().note_operation(queue, note);
        Ok(())
    }

    async fn operations(&self, queue: &QueueName, limit: u32) -> Result<Vec<OperationEntry>, BackendError> {
        Ok(self.state().operations(queue, limit))
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BackendError> {
        Ok(self.state().stats(queue))
    }

    async fn gauges(&self, queue: &QueueName, _: u32) -> Result<Gauges, BackendError> {
        Ok(self.state().gauges(queue))
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(self.state().queues())
    }

    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        state.reports.put(report, now);
        Ok(())
    }

    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.reports.list(now))
    }
}
