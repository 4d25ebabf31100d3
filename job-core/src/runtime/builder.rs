//! Configuration, checked as a whole before anything runs.

use super::Runtime;
use super::core::{CoreConfig, QueueCore};
use super::declared::Declared;
use super::limits::{check, declared, downstreams};
use super::queue::Queue;
use super::shared::{Env, QueueShared, Timing};
use crate::alerts::{Alerts, Board};
use crate::backend::DurabilityClass;
use crate::chance::Chance;
use crate::context::States;
use crate::error::BuildError;
use crate::job::Job;
use crate::limits::{Limit, LimitName, LimitRule};
use crate::middleware::{Layers, Middleware};
use crate::operate::Operate;
use crate::registry::Registration;
use crate::schedule::ScheduleDef;
use crate::{Kind, QueueName, WorkerId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Collects the configuration of a [`Runtime`]; [`build`](Self::build) reports every mistake at once.
#[derive(Debug)]
pub struct RuntimeBuilder {
    backend: Arc<dyn Operate>,
    pub(super) registrations: Vec<Registration>,
    pub(super) declared: Vec<Declared>,
    states: States,
    pub(super) layers: Layers,
    queues: Vec<(String, Queue)>,
    default_queue: Queue,
    only: Option<Vec<String>>,
    lease: Duration,
    poll_max: Duration,
    shutdown_deadline: Duration,
    cancel_grace: Duration,
    poison_limit: u32,
    require: Option<DurabilityClass>,
    chance: Chance,
    alerts: Alerts,
    limits: Vec<(String, Limit)>,
    pub(super) problems: Vec<String>,
}

const LEASE_MIN: Duration = Duration::from_millis(100);
const LEASE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

impl RuntimeBuilder {
    pub(crate) fn new(backend: Arc<dyn Operate>) -> Self {
        Self {
            backend,
            registrations: Vec::new(),
            declared: Vec::new(),
            states: States::default(),
            layers: Layers::default(),
            queues: Vec::new(),
            default_queue: Queue::default(),
            only: None,
            lease: Duration::from_secs(10),
            poll_max: Duration::from_millis(500),
            shutdown_deadline: Duration::from_secs(25),
            cancel_grace: Duration::from_secs(5),
            poison_limit: 3,
            require: None,
            chance: Chance::default(),
            alerts: Alerts::default(),
            limits: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Runs these jobs: `.jobs(jobs![send_invoice, nightly_digest])`.
    #[must_use]
    pub fn jobs(mut self, jobs: impl IntoIterator<Item = Registration>) -> Self {
        self.registrations.extend(jobs);
        self
    }

    /// Runs this type of job.
    #[must_use]
    pub fn job<J: Job>(self) -> Self {
        self.jobs([Registration::of::<J>()])
    }

    /// Gives handlers a `State<T>`. One value per type.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.state_arc(Arc::new(value))
    }

    /// The same for a value that is shared already, or a trait object.
    #[must_use]
    pub fn state_arc<T: ?Sized + Send + Sync + 'static>(mut self, value: Arc<T>) -> Self {
        if !self.states.insert(value) {
            let name = std::any::type_name::<T>();
            self.problems
                .push(format!("State<{name}> is given twice; wrap one of them in a type of its own"));
        }
        self
    }

    /// Puts a [`Middleware`] around every job of this runtime, and around what its clients enqueue; after those it has.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(middleware);
        self
    }

    /// How this runtime works on a queue. Queues that registered jobs name are worked on without being listed.
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>, options: Queue) -> Self {
        self.queues.push((name.into(), options));
        self
    }

    /// What holds for queues that are not listed: 32 handlers at once unless set here.
    #[must_use]
    pub fn default_queue(mut self, options: Queue) -> Self {
        self.default_queue = options;
        self
    }

    /// Works on these queues only, for processes that share the work.
    #[must_use]
    pub fn only_queues<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How long a claim lasts without an extension; 10 s unless set. Extensions keep it alive for as long as the
    /// handler runs, so this decides only how soon the jobs of a dead process run again.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The longest time between looks at the store when no wake-up comes; 500 ms unless set.
    #[must_use]
    pub fn poll_max(mut self, poll: Duration) -> Self {
        self.poll_max = poll;
        self
    }

    /// How long a shutdown may take in all; 25 s unless set, for platforms that kill after 30 s.
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.shutdown_deadline = deadline;
        self
    }

    /// How long a handler may go on after it was asked to stop, before it is dropped; 5 s unless set.
    #[must_use]
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = grace;
        self
    }

    /// How many crashes of its process a job may cause before it is dead; 3 unless set.
    #[must_use]
    pub fn poison_limit(mut self, crashes: u32) -> Self {
        self.poison_limit = crashes;
        self
    }

    /// Fails the build if the store's own settings promise less than this.
    #[must_use]
    pub fn require_durability(mut self, class: DurabilityClass) -> Self {
        self.require = Some(class);
        self
    }

    /// A limit that all processes share, such as what a downstream can take; jobs of any queue are under it that name it with
    /// `#[job(limits = ["stripe"])]`. What is built last counts for everybody; an operator's
    /// [`set_limit`](crate::Operate::set_limit) counts in its place.
    #[must_use]
    pub fn limit(mut self, name: impl Into<String>, limit: Limit) -> Self {
        self.limits.push((name.into(), limit));
        self
    }

    /// What is watched, and who is told; [`Alerts::default`] unless set.
    #[must_use]
    pub fn alerts(mut self, alerts: Alerts) -> Self {
        self.alerts = alerts;
        self
    }

    /// Makes every delay that is drawn by chance a function of this seed, for simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.chance = Chance::seeded(seed);
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`BuildError`] with every mistake: names used twice, missing states, bad queue names, impossible times.
    pub fn build(mut self) -> Result<Runtime, BuildError> {
        self.check_times();
        let handlers = self.check_handlers();
        let (queues, mut schedules) = self.check_queues();
        self.check_durability();
        let limits = self.check_limits(&queues);
        self.problems.extend(self.alerts.problems());
        if !self.problems.is_empty() {
            return Err(BuildError::new(self.problems));
        }
        let mut kinds: Vec<Kind> = handlers.keys().cloned().collect();
        kinds.sort();
        let timing = Timing {
            lease_for: self.lease,
            call_timeout: Duration::from_secs(10),
            maintain_every: Duration::from_millis(500).min(self.lease / 4),
            cancel_grace: self.cancel_grace,
            shutdown_deadline: self.shutdown_deadline,
            flush_budget: Duration::from_secs(5),
            poison_limit: self.poison_limit,
        };
        let env = Arc::new(Env {
            backend: Arc::clone(&self.backend),
            worker: WorkerId::random(),
            downstreams: downstreams(&self.limits, &handlers),
            handlers,
            kinds,
            states: Arc::new(self.states),
            layers: self.layers,
            timing,
            chance: self.chance,
            main: OnceLock::new(),
            keepers: OnceLock::new(),
            fatal: watch::Sender::new(None),
            closings: Arc::default(),
        });
        let batch_max = self.backend.info().batch_max.max(1);
        let queues = queues.into_iter().map(|(name, options)| {
            let config = CoreConfig {
                concurrency: options.concurrency,
                prefetch_max: options.prefetch_max,
                batch_max,
                lease_for: self.lease,
                poll_min: Duration::from_millis(10).min(self.poll_max),
                poll_max: self.poll_max,
                closings: Arc::clone(&env.closings),
            };
            let core = QueueCore::new(config, Instant::now());
            let limits = declared(&name, &options, &limits, &env.handlers);
            let schedules = schedules.remove(&name).unwrap_or_default();
            Arc::new(QueueShared::new(name, Arc::clone(&env), core, &options, limits, schedules))
        });
        let queues = queues.collect();
        Ok(Runtime { env, queues, alerts: self.alerts, board: Board::default() })
    }

    fn check_times(&mut self) {
        if !(LEASE_MIN..=LEASE_MAX).contains(&self.lease) {
            self.problems.push(format!("lease {:?} is not between 100 ms and 12 h", self.lease));
        }
        if self.poll_max < Duration::from_millis(1) {
            self.problems.push(format!("poll_max {:?} is below 1 ms", self.poll_max));
        }
        if self.cancel_grace > self.shutdown_deadline {
            self.problems.push(format!(
                "cancel_grace {:?} is longer than shutdown_deadline {:?}",
                self.cancel_grace, self.shutdown_deadline
            ));
        }
        if self.poison_limit == 0 {
            self.problems
                .push("poison_limit 0 would bury every job that was near a crash; use 1 or more".into());
        }
    }

    fn check_handlers(&mut self) -> HashMap<Kind, Registration> {
        let mut handlers: HashMap<Kind, Registration> = HashMap::new();
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for registration in &self.registrations {
            let spec = registration.spec();
            for name in std::iter::once(&spec.kind).chain(&spec.aliases) {
                if let Some(other) = handlers.insert(name.clone(), registration.clone()) {
                    let other = &other.spec().kind;
                    self.problems.push(if other == &spec.kind && name == other {
                        format!("job {name} is registered twice")
                    } else {
                        format!("the name {name} belongs to both job {other} and job {}", spec.kind)
                    });
                }
            }
            for need in spec.states.iter().filter(|n| !self.states.contains((n.type_id)())) {
                missing.entry((need.type_name)()).or_default().insert(spec.kind.as_str());
            }
        }
        for (state, jobs) in missing {
            let jobs = jobs.into_iter().collect::<Vec<_>>().join(", ");
            self.problems.push(format!("job {jobs} needs State<{state}>; add .state(...) to the builder"));
        }
        if handlers.is_empty() {
            self.problems
                .push("no job is registered; add .jobs(jobs![...]), or use a Client to only enqueue".into());
        }
        handlers
    }

    fn check_queues(&mut self) -> (BTreeMap<QueueName, Queue>, BTreeMap<QueueName, Vec<ScheduleDef>>) {
        let mut queues: BTreeMap<QueueName, Queue> = BTreeMap::new();
        let listed = std::mem::take(&mut self.queues);
        let all = listed.iter().map(|(name, options)| (format!("queue {name}"), options));
        for (name, options) in all.chain([("default_queue".to_owned(), &self.default_queue)]) {
            if let Some(kept) = options.dead_kept.filter(|kept| *kept < Queue::DEAD_KEPT_MIN) {
                self.problems.push(format!("{name} keeps dead jobs for {kept:?}, which is less than 24 h"));
            }
        }
        for (name, options) in listed {
            match QueueName::new(&name) {
                Err(error) => self.problems.push(error.to_string()),
                Ok(name) if options.concurrency == 0 => {
                    self.problems.push(format!("queue {name} has concurrency 0; use pause to stop a queue"));
                }
                Ok(name) => {
                    if queues.insert(name.clone(), options).is_some() {
                        self.problems.push(format!("queue {name} is configured twice"));
                    }
                }
            }
        }
        if self.default_queue.concurrency == 0 {
            self.problems.push("default_queue has concurrency 0; use pause to stop a queue".into());
        }
        for registration in &self.registrations {
            queues.entry(registration.spec().queue.clone()).or_insert_with(|| self.default_queue.clone());
        }
        let all: HashSet<_> = queues.keys().cloned().collect();
        if let Some(only) = self.only.take() {
            self.keep_only(&only, &mut queues);
        }
        let schedules = self.check_schedules(&all, &queues);
        (queues, schedules)
    }

    fn keep_only(&mut self, only: &[String], queues: &mut BTreeMap<QueueName, Queue>) {
        for name in only.iter().filter(|name| !queues.contains_key(name.as_str())) {
            let known = queues.keys().map(QueueName::as_str).collect::<Vec<_>>().join(", ");
            self.problems.push(format!(
                "only_queues names {name:?}, which no job or .queue(...) uses; known: {known}"
            ));
        }
        queues.retain(|name, _| only.iter().any(|o| o == name.as_str()));
    }

    /// The limits of this runtime and of its queues, each readable.
    fn check_limits(&mut self, queues: &BTreeMap<QueueName, Queue>) -> BTreeMap<LimitName, LimitRule> {
        let (limits, problems) =
            check(&self.limits, queues, self.registrations.iter().map(Registration::spec));
        self.problems.extend(problems);
        limits
    }

    fn check_durability(&mut self) {
        let info = self.backend.info();
        if let Some(required) = self.require
            && info.durability < required
        {
            self.problems.push(format!(
                "{} promises {:?} by its settings, {required:?} is required",
                info.name, info.durability
            ));
        }
    }
}
