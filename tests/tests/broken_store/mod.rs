//! The memory backend with a defect.

mod defect;
mod operate;

use async_trait::async_trait;
use backend_memory::MemoryBackend;
pub(super) use defect::Defect;
use job_core::{
    Backend, BackendError, BackendInfo, Claim, ClaimRequest, ClaimedJob, Declared, Enqueued, ErrorReport,
    Extended, FireRequest, Fired, Hold, JobId, Kind, LeaseId, LeaseStatus, LimitName, LimitStep,
    MaintainRequest, Maintained, NewJob, NoteEdit, Notes, Operate, Priority, QueueName, ScheduleDef,
    Schedules, Settled, Settlement, UniqueKey, Verdict, When,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
struct Seen {
    enqueued: HashSet<JobId>,
    kinds: Vec<Kind>,
    /// How often a unique key was freed by somebody else.
    generations: HashMap<(String, String), u32>,
    unique: HashMap<JobId, UniqueKey>,
    idempotency: HashMap<(String, String), (JobId, u32)>,
    last_claim: Vec<ClaimedJob>,
    /// How many claims are under way.
    claiming: u32,
    /// When leases end, where the defect is in that.
    ends: HashMap<LeaseId, Instant>,
    settled: HashSet<(JobId, LeaseId)>,
}

#[derive(Debug)]
pub(super) struct Broken {
    inner: MemoryBackend,
    defect: Defect,
    seen: Mutex<Seen>,
}

impl Broken {
    pub(super) fn new(defect: Defect) -> Self {
        Self { inner: MemoryBackend::new(), defect, seen: Mutex::default() }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics under it")
    }

    /// True if the lease's end is kept here, because the store below would not get it wrong.
    fn keeps_time(&self) -> bool {
        self.is(Defect::ExtendShortens)
    }

    async fn spoil(&self, new: &NewJob) -> Result<NewJob, BackendError> {
        let mut job = new.clone();
        let again = self.seen().enqueued.contains(&job.id);
        let ended = again && self.inner.get(job.id).await?.is_none();
        if (self.is(Defect::RepeatsEnqueue) && again) || (self.is(Defect::Revives) && ended) {
            job.id = JobId::new();
        }
        match self.defect {
            Defect::IgnoresPriority => job.priority = Priority::NORMAL,
            Defect::IgnoresDelay => job.when = When::Now,
            Defect::TrimsPayloads => {
                let text = job.payload.trim_ascii().to_vec();
                job.payload = text.into();
            }
            Defect::ForgetsKeysOfTheDone => self.forget_keys_of_the_done(&mut job).await?,
            _ => {}
        }
        let mut seen = self.seen();
        seen.enqueued.insert(job.id);
        if !seen.kinds.contains(&job.kind) {
            seen.kinds.push(job.kind.clone());
        }
        if self.is(Defect::FreesForeignKeys)
            && let Some(unique) = &mut job.unique
        {
            seen.unique.insert(job.id, unique.clone());
            let key = (unique.scope.clone(), unique.key.as_str().to_owned());
            let generation = seen.generations.get(&key).copied().unwrap_or(0);
            unique.key = later(&key.1, generation).into();
        }
        Ok(job)
    }

    async fn forget_keys_of_the_done(&self, job: &mut NewJob) -> Result<(), BackendError> {
        let Some(key) = &mut job.idempotency else { return Ok(()) };
        let text = (key.scope.clone(), key.key.as_str().to_owned());
        let held = self.seen().idempotency.get(&text).copied();
        let mut generation = held.map_or(0, |(_, generation)| generation);
        if let Some((holder, _)) = held
            && self.inner.get(holder).await?.is_none()
        {
            generation += 1;
        }
        if held.is_none_or(|(_, before)| before != generation) {
            self.seen().idempotency.insert(text.clone(), (job.id, generation));
        }
        key.key = later(&text.1, generation).into();
        Ok(())
    }

    fn spoil_settlement(&self, settlement: &Settlement) -> Settlement {
        let mut settlement = settlement.clone();
        match (self.defect, &settlement.verdict) {
            (Defect::LosesFollowUps, _) => settlement.follow_ups.clear(),
            (Defect::CountsSnooze, Verdict::Snooze { delay }) => {
                settlement.verdict = Verdict::Retry { after: *delay, error: ErrorReport::new("snooze") };
            }
            _ => {}
        }
        settlement
    }

    fn spoil_answer(&self, answer: Settled) -> Settled {
        match (self.defect, answer) {
            (Defect::NoFence, Settled::Stale) => Settled::Applied,
            (Defect::ForgetsReceipts, Settled::AlreadyApplied) => Settled::Stale,
            _ => answer,
        }
    }

    /// Looks first and acts later, with room for others in between.
    fn racing_verdict(&self, hold: &Hold) -> bool {
        let before = self.seen().settled.contains(&(hold.job, hold.lease));
        std::thread::sleep(Duration::from_millis(5));
        self.seen().settled.insert((hold.job, hold.lease));
        !before
    }

    /// What a claim asks the store below for.
    fn spoil_request<'a>(&self, request: &ClaimRequest<'a>, kinds: &'a [Kind]) -> ClaimRequest<'a> {
        let mut request = request.clone();
        match self.defect {
            Defect::IgnoresLimit => request.limit += 1,
            Defect::IgnoresKinds => request.kinds = kinds,
            Defect::ReapsEarly => request.lease_for = Duration::ZERO,
            Defect::RepeatsClaim => request.lease = LeaseId::random(),
            _ if self.keeps_time() => {
                let mut seen = self.seen();
                for lease in std::iter::once(&request.lease).chain(request.suspect_leases) {
                    seen.ends.entry(*lease).or_insert_with(|| Instant::now() + request.lease_for);
                }
                drop(seen);
                request.lease_for = Duration::ZERO;
            }
            _ => {}
        }
        request
    }

    fn spoil_claim(&self, mut claim: Claim) -> Claim {
        match self.defect {
            Defect::GivesTwice => {
                let mine = claim.jobs.clone();
                claim.jobs.append(&mut self.seen().last_claim);
                self.seen().last_claim = mine;
            }
            Defect::RacesForJobs => {
                let mut seen = self.seen();
                let last = std::mem::replace(&mut seen.last_claim, claim.jobs.clone());
                if seen.claiming > 1 {
                    claim.jobs.extend(last);
                }
            }
            _ => {}
        }
        claim
    }
}

/// A key that was freed so often: another one for the store below.
fn later(key: &str, generation: u32) -> String {
    if generation == 0 { key.to_owned() } else { format!("{key} {generation}") }
}

#[async_trait]
impl Backend for Broken {
    fn info(&self) -> BackendInfo {
        self.inner.info()
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
        let mut spoiled = Vec::new();
        if self.is(Defect::ForgetsKeysOfTheDone) {
            // One by one, for each looks at the one before.
            let mut answers = Vec::new();
            for job in jobs {
                let job = self.spoil(job).await?;
                answers.extend(self.inner.enqueue(&[job]).await?);
            }
            return Ok(answers);
        }
        for job in jobs {
            spoiled.push(self.spoil(job).await?);
        }
        if self.is(Defect::StoresHalves) && jobs.len() > 1 {
            let (first, second) = spoiled.split_at(jobs.len() / 2);
            let mut answers = self.inner.enqueue(first).await?;
            tokio::task::yield_now().await;
            answers.extend(self.inner.enqueue(second).await?);
            return Ok(answers);
        }
        let mut answers = self.inner.enqueue(&spoiled).await?;
        if self.is(Defect::AnswersBackwards) {
            answers.reverse();
        }
        Ok(answers)
    }

    async fn claim(&self, queue: &QueueName, request: &ClaimRequest<'_>) -> Result<Claim, BackendError> {
        let kinds = self.seen().kinds.clone();
        let request = self.spoil_request(request, &kinds);
        self.seen().claiming += 1;
        if self.is(Defect::RacesForJobs) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let claim = self.spoil_claim(self.inner.claim(queue, &request).await?);
        self.seen().claiming -= 1;
        Ok(claim)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, BackendError> {
        let mut spoiled: Vec<_> = settlements.iter().map(|s| self.spoil_settlement(s)).collect();
        if matches!(self.defect, Defect::FreesForeignKeys | Defect::ForgetsKeysOfTheDone) {
            for new in spoiled.iter_mut().flat_map(|s| &mut s.follow_ups) {
                *new = self.spoil(new).await?;
            }
        }
        let mut first = Vec::new();
        if self.is(Defect::RacesOfVerdicts) {
            for settlement in settlements {
                first.push(self.racing_verdict(&settlement.hold));
            }
        }
        let mut answers: Vec<_> =
            self.inner.settle(queue, &spoiled).await?.into_iter().map(|a| self.spoil_answer(a)).collect();
        for (n, settlement) in settlements.iter().enumerate() {
            let too_late = answers[n] == Settled::AlreadyApplied;
            if too_late && (self.is(Defect::AppliesTwice) || first.get(n) == Some(&true)) {
                self.inner.enqueue(&settlement.follow_ups).await?;
                answers[n] = Settled::Applied;
            }
        }
        if self.is(Defect::AnswersBackwards) {
            answers.reverse();
        }
        Ok(answers)
    }

    async fn settle_and_claim(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        request: &ClaimRequest<'_>,
    ) -> Result<(Vec<Settled>, Claim), BackendError> {
        Ok((self.settle(queue, settlements).await?, self.claim(queue, request).await?))
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        let short =
            if self.is(Defect::ExtendDoesNothing) || self.keeps_time() { Duration::ZERO } else { lease_for };
        let mut extended = self.inner.extend(queue, leases, short).await?;
        if self.keeps_time() {
            let mut seen = self.seen();
            seen.ends.extend(leases.iter().map(|lease| (*lease, Instant::now() + lease_for)));
        }
        if self.is(Defect::LosesCancel) {
            extended.cancel.clear();
        }
        Ok(extended)
    }

    async fn save(
        &self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        self.inner.save(queue, hold, edits).await
    }

    async fn notes(&self, queue: &QueueName, hold: &Hold) -> Result<Notes, BackendError> {
        self.inner.notes(queue, hold).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let mut request = request.clone();
        match self.defect {
            Defect::ReapsUnasked => request.reap = true,
            Defect::ForgetsPoison => request.poison_limit = u32::MAX,
            _ => {}
        }
        let live: Vec<_> = self.seen().ends.iter().map(|(lease, end)| (*lease, *end)).collect();
        for (lease, end) in live.into_iter().filter(|(_, end)| *end > Instant::now()) {
            self.inner.extend(queue, &[lease], end - Instant::now()).await?;
        }
        self.inner.maintain(queue, &request).await
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
        if self.is(Defect::NeverWakes) {
            std::future::pending::<()>().await;
        }
        self.inner.wait(queue).await
    }
}
