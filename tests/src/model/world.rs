//! The names that a case's numbers have in the store, and the comparison of the whole store with the reference.

use super::batches::Waiting;
use super::call::{Conflict, New, Number};
use super::driver::{Checked, Driver, same, wrong};
use super::notes;
use super::reference::{Job, Place};
use crate::{KIND, OTHER_KIND};
use jiff::Timestamp;
use job_core::{
    ClaimedJob, Hold, IdempotencyKey, JobId, JobRecord, JobState, Kind, LeaseId, ListFilter, NewJob,
    OnConflict, Operate, Priority, QueueName, UniqueKey, When,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A queue of a store, with keys of its own: cases may share a store.
pub(super) struct World {
    pub(super) backend: Arc<dyn Operate>,
    pub(super) queue: QueueName,
    scope: String,
    jobs: BTreeMap<Number, JobId>,
    job_numbers: BTreeMap<JobId, Number>,
    leases: BTreeMap<Number, LeaseId>,
    lease_numbers: BTreeMap<LeaseId, Number>,
    made: BTreeMap<Number, NewJob>,
    pub(super) holds: BTreeMap<(Number, Number), Hold>,
    /// What waits for each batch.
    pub(super) batches: BTreeMap<Number, Waiting>,
    enqueued_at: BTreeMap<Number, Timestamp>,
}

impl World {
    /// The text of every failure.
    pub(super) const ERROR: &str = "no luck";

    pub(super) fn new(backend: Arc<dyn Operate>) -> Self {
        let scope = LeaseId::random().as_uuid().simple().to_string();
        let queue = QueueName::new(format!("model-{scope}")).expect("hexadecimal digits are allowed");
        Self {
            backend,
            queue,
            scope,
            jobs: BTreeMap::new(),
            job_numbers: BTreeMap::new(),
            leases: BTreeMap::new(),
            lease_numbers: BTreeMap::new(),
            made: BTreeMap::new(),
            holds: BTreeMap::new(),
            batches: BTreeMap::new(),
            enqueued_at: BTreeMap::new(),
        }
    }

    pub(super) fn kind(number: u8) -> Kind {
        if number == 0 { KIND } else { OTHER_KIND }
    }

    pub(super) fn job(&mut self, number: Number) -> JobId {
        let id = *self.jobs.entry(number).or_insert_with(JobId::new);
        self.job_numbers.insert(id, number);
        id
    }

    pub(super) fn lease(&mut self, number: Number) -> LeaseId {
        let id = *self.leases.entry(number).or_insert_with(LeaseId::random);
        self.lease_numbers.insert(id, number);
        id
    }

    pub(super) fn job_number(&self, id: JobId) -> Option<Number> {
        self.job_numbers.get(&id).copied()
    }

    pub(super) fn lease_number(&self, id: LeaseId) -> Option<Number> {
        self.lease_numbers.get(&id).copied()
    }

    /// The job as failures call it.
    pub(super) fn name(&self, id: JobId) -> String {
        self.job_number(id).map_or_else(|| format!("unknown {id}"), |n| format!("j{n}"))
    }

    /// What was given for this job under this lease; if nothing was, something as near as can be.
    pub(super) fn hold(&mut self, job: Number, lease: Number) -> Hold {
        if let Some(hold) = self.holds.get(&(job, lease)) {
            return *hold;
        }
        let near = self.holds.iter().find(|((j, l), _)| *j == job || *l == lease).map(|(_, hold)| *hold);
        let (claims, locator) = near.map_or((1, [0; 3]), |hold| (hold.claims, hold.locator));
        Hold { job: self.job(job), lease: self.lease(lease), claims, locator }
    }

    pub(super) fn new_job(&mut self, new: &New, unit: Duration) -> NewJob {
        if let Some(made) = self.made.get(&new.job) {
            return made.clone();
        }
        let mut job =
            NewJob::new(Self::kind(new.kind), self.queue.clone(), format!("{{\"n\": {}}}", new.job));
        job.id = self.job(new.job);
        job.priority = Priority::new(new.priority).expect("0 to 9");
        job.max_attempts = new.max_attempts;
        job.version = u32::try_from(new.job).unwrap_or(u32::MAX);
        let span = |span: super::call::Span| unit * (2 * span.0 + 1) / 2;
        job.when = new.delay.map_or(When::Now, |delay| When::After(span(delay)));
        let scope = &self.scope;
        job.idempotency = new.idempotency.map(|(key, window)| IdempotencyKey {
            scope: scope.clone(),
            key: format!("same{key}").into(),
            window: span(window),
        });
        job.unique =
            new.unique.map(|key| UniqueKey { scope: scope.clone(), key: format!("unique{key}").into() });
        job.on_conflict = match new.conflict {
            Conflict::Existing => OnConflict::Existing,
            Conflict::Error => OnConflict::Error,
            Conflict::Replace => OnConflict::Replace,
            Conflict::Debounce(most) => OnConflict::Debounce { max_wait: span(most) },
            Conflict::Latest => OnConflict::Latest,
        };
        if let Some(batch) = new.batch {
            job.headers.insert(NewJob::BATCH_HEADER.to_owned(), self.waiting(batch).id.to_string());
        }
        self.made.insert(new.job, job.clone());
        job
    }

    /// A claim gives what was enqueued.
    pub(super) fn check_content(&mut self, number: Number, job: &ClaimedJob) -> Checked<()> {
        let Some(made) = self.made.get(&number) else {
            return wrong(format!("j{number} was claimed and never enqueued"));
        };
        let key = made.idempotency.as_ref().map(|k| format!("{}:{}", k.scope, k.key.as_str()));
        let what = format!("content of j{number}");
        same(&what, &job.kind, &made.kind)?;
        same(&what, &job.priority, &made.priority)?;
        same(&what, &job.max_attempts, &made.max_attempts)?;
        same(&what, &job.payload, &made.payload)?;
        same(&what, &job.version, &made.version)?;
        same(&what, &job.headers, &made.headers)?;
        same(&what, &job.idempotency_key, &key)?;
        self.check_enqueued_at(number, job.enqueued_at)
    }

    fn check_enqueued_at(&mut self, number: Number, at: Timestamp) -> Checked<()> {
        let first = *self.enqueued_at.entry(number).or_insert(at);
        same(&format!("when j{number} was enqueued"), &at, &first)
    }

    fn check_record(&mut self, number: Number, record: &JobRecord, job: &Job) -> Checked<()> {
        let made = &self.made[&number];
        let running = u32::from(matches!(job.place, Place::Running(_)));
        let what = |what: &str| format!("{what} of j{number}");
        same(&what("kind"), &record.kind, &made.kind)?;
        same(&what("queue"), &record.queue, &made.queue)?;
        same(&what("payload"), &record.payload, &made.payload)?;
        same(&what("priority"), &record.priority, &made.priority)?;
        same(&what("max_attempts"), &record.max_attempts, &made.max_attempts)?;
        same(&what("attempt"), &record.attempt, &(job.charged + running))?;
        same(&what("claims"), &record.claims, &job.claims)?;
        same(&what("crashes"), &record.crashes, &job.crashes)?;
        same(&what("waiting"), &record.run_at.is_some(), &matches!(job.place, Place::Waiting { .. }))?;
        let reason = match job.place {
            Place::Dead(reason) => Some(reason),
            _ => None,
        };
        same(&what("reason"), &record.dead_reason, &reason)?;
        same(&what("completion"), &record.completed_at.is_some(), &(job.place == Place::Kept))?;
        same(&what("death"), &record.died_at.is_some(), &reason.is_some())?;
        let errors: Vec<_> = record.errors.iter().map(|e| (e.attempt, e.error.as_str())).collect();
        let expected: Vec<_> = job.errors.iter().map(|attempt| (*attempt, Self::ERROR)).collect();
        same(&what("errors"), &errors, &expected)?;
        self.check_enqueued_at(number, record.enqueued_at)
    }
}

const STATES: [JobState; 6] = [
    JobState::Scheduled,
    JobState::Ready,
    JobState::Running,
    JobState::Retrying,
    JobState::Completed,
    JobState::Dead,
];

impl Driver {
    /// Compares everything that can be looked at.
    pub(super) async fn compare(&mut self) -> Checked<()> {
        let store = Arc::clone(&self.world.backend);
        let failed = |e| super::driver::Stop::Wrong(format!("a look fails: {e}"));
        for state in STATES {
            let filter = ListFilter { limit: 10_000, ..ListFilter::new(self.world.queue.clone(), state) };
            let mut listed = store.list(&filter).await.map_err(failed)?.jobs;
            listed.retain(|record| record.kind != World::AFTER);
            let mut names: Vec<_> = listed.iter().map(|r| self.world.name(r.id)).collect();
            names.sort();
            let expected = self.reference.jobs.iter().filter(|(_, j)| j.state() == Some(state));
            let mut expected: Vec<_> = expected.map(|(number, _)| format!("j{number}")).collect();
            expected.sort();
            same(&format!("{state} jobs"), &names, &expected)?;
            for record in &listed {
                let number = self.world.job_number(record.id).expect("it was just compared");
                same("the state in a list", &record.state, &state)?;
                self.world.check_record(number, record, &self.reference.jobs[&number])?;
                let alone = store.get(record.id).await.map_err(failed)?;
                if let Some(alone) = &alone {
                    notes::check(number, alone, &self.reference.jobs[&number])?;
                }
                let alone = alone.map(|record| JobRecord { notes: Vec::new(), ..record });
                same(&format!("j{number} alone and in the list"), &alone.as_ref(), &Some(record))?;
            }
        }
        let gone = self.reference.jobs.iter().filter(|(_, j)| j.place == Place::Gone).map(|(n, _)| *n);
        let gone: Vec<_> = gone.chain(self.reference.duplicates.keys().copied()).collect();
        for number in gone {
            let id = self.world.job(number);
            same(&format!("j{number}, which is gone"), &store.get(id).await.map_err(failed)?, &None)?;
        }
        self.compare_batches().await?;
        self.compare_numbers().await
    }

    async fn compare_numbers(&mut self) -> Checked<()> {
        let stats = self.world.backend.stats(&self.world.queue).await;
        let stats = stats.map_err(|e| super::driver::Stop::Wrong(format!("stats fail: {e}")))?;
        let count = |state| self.reference.jobs.values().filter(|j| j.state() == Some(state)).count() as u64;
        let got = [stats.scheduled, stats.ready, stats.running, stats.retrying, stats.completed, stats.dead];
        let mut expected = STATES.map(count);
        self.reference.add_waiting_for_batches(&got, &mut expected);
        same("numbers of scheduled, ready, running, retrying, kept and dead jobs", &got, &expected)?;
        same("a job waits to be claimed", &stats.oldest_ready.is_some(), &(stats.ready > 0))?;
        same("the queue is paused", &stats.paused, &self.reference.paused)?;
        let mut kinds: Vec<_> = self.reference.paused_kinds.iter().map(|k| World::kind(*k)).collect();
        kinds.sort_unstable();
        same("the paused kinds", &stats.paused_kinds, &kinds)
    }
}
