//! Scheduler: fires the ticks of schedules that are due. Every runtime that works on a queue does it; the store lets one of them
//! win. Owns: what it has read of schedules. Restarted by: the RuntimeSupervisor. Never: fails on an error of the store.

use super::bounded::bounded;
use super::shared::QueueShared;
use crate::chance::Chance;
use crate::error::{BackendError, ErrorKind};
use crate::new_job::NewJob;
use crate::schedule::{
    Definition, FireRequest, Fired, Origin, ScheduleChange, ScheduleDef, ScheduleEntry, Schedules, between,
    due, jobs_of,
};
use crate::{ScheduleName, fault_point, seeded_bug};
use jiff::Timestamp;
use ractor::{ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often the schedules of a queue are looked at when nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same after a failure.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Looks at the moment of a tick are spread over this time: whoever comes late finds it fired.
const SPREAD: Duration = Duration::from_millis(15);
/// A schedule of `#[job]` whose tick nobody has fired for so long is in nobody's code any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum SchedulerMsg {
    Tick,
}

pub(crate) struct Scheduler;

pub(crate) struct SchedulerState {
    queues: Vec<Round>,
}

/// One queue.
struct Round {
    queue: Arc<QueueShared>,
    chance: Chance,
    /// What was read of each schedule, by its text.
    known: HashMap<ScheduleName, Known>,
    declared: bool,
    due: Instant,
    failing: bool,
}

struct Known {
    text: String,
    /// Nothing if it cannot be read here.
    definition: Option<Definition>,
    /// It was said that its job cannot be made.
    complained: bool,
}

#[ractor::actor(message = SchedulerMsg, state = SchedulerState, arguments = Vec<Arc<QueueShared>>)]
impl Scheduler {
    async fn pre_start(
        &self,
        myself: ActorRef<SchedulerMsg>,
        queues: Vec<Arc<QueueShared>>,
    ) -> Result<SchedulerState, ActorProcessingErr> {
        let due = Instant::now();
        let round = |queue: Arc<QueueShared>| {
            // The rest of a simulated runtime goes on as it would without schedules.
            let chance = queue.env.chance.fork();
            Round { queue, chance, known: HashMap::new(), declared: false, due, failing: false }
        };
        let _ = myself.cast(SchedulerMsg::Tick);
        Ok(SchedulerState { queues: queues.into_iter().map(round).collect() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SchedulerMsg>,
        _message: SchedulerMsg,
        state: &mut SchedulerState,
    ) -> Result<(), ActorProcessingErr> {
        for round in &mut state.queues {
            if round.due <= Instant::now() {
                let _ = fault_point!(round.queue.name.as_str(), "scheduler.tick");
                round.run().await;
            }
        }
        if let Some(due) = state.queues.iter().map(|r| r.due).min() {
            let wait = due.saturating_duration_since(Instant::now());
            myself.send_after(wait, || SchedulerMsg::Tick);
        }
        Ok(())
    }
}

impl Round {
    async fn run(&mut self) {
        let chance = self.chance.clone();
        let began = Instant::now();
        self.due = match self.look().await {
            Ok(Some(next)) if next < LOOK_EVERY => began + next + chance.shorten(SPREAD, 0),
            Ok(_) => began + chance.shorten(LOOK_EVERY, 80),
            Err(error) => {
                if !self.failing {
                    tracing::warn!(queue = %self.queue.name, %error, "schedules cannot be looked at, trying on");
                }
                self.failing = true;
                Instant::now() + chance.shorten(LOOK_AGAIN, 50)
            }
        };
    }

    /// Fires what is due. How long after the beginning of the look the next tick comes, at the earliest.
    async fn look(&mut self) -> Result<Option<Duration>, BackendError> {
        let queue = Arc::clone(&self.queue);
        let (env, limit) = (&queue.env, queue.env.timing.call_timeout);
        if !self.declared && !queue.schedules.is_empty() {
            bounded(limit, "put schedules", env.backend.put_schedules(&queue.name, &queue.schedules)).await?;
            self.declared = true;
        }
        let found = bounded(limit, "schedules", env.backend.schedules(&queue.name)).await?;
        // A store that was emptied gets them again.
        let there = |def: &ScheduleDef| found.entries.iter().any(|entry| entry.def.name == def.name);
        self.declared = queue.schedules.iter().all(there);
        self.known.retain(|name, _| found.entries.iter().any(|entry| entry.def.name == *name));
        let mut next = None;
        for entry in found.entries.iter().filter(|entry| !entry.paused) {
            let tick = match self.fire(entry, &found).await {
                // For what this one says: the others go on.
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    self.complain(entry, &error.to_string());
                    None
                }
                tick => tick?,
            };
            next = next.into_iter().chain(tick.map(|tick| between(found.now, tick))).min();
        }
        self.failing = false;
        Ok(if self.declared { next } else { Some(Duration::ZERO) })
    }

    /// Fires what is due of one schedule. When it comes next.
    async fn fire(
        &mut self,
        entry: &ScheduleEntry,
        found: &Schedules,
    ) -> Result<Option<Timestamp>, BackendError> {
        let queue = Arc::clone(&self.queue);
        let Some(definition) = self.definition(entry) else { return Ok(None) };
        let calendar = definition.schedule.calendar();
        let is_mine =
            |def: &ScheduleDef| (&def.name, &def.definition) == (&entry.def.name, &entry.def.definition);
        let fires = definition.origin == Origin::Client || queue.schedules.iter().any(is_mine);
        if !fires && !seeded_bug!("foreign_schedules_fire") {
            return self.forget(entry, &definition, found).await.map(|()| None);
        }
        let now = found.now;
        let next = calendar.next(now.max(entry.watermark));
        let Some(plan) = due(&calendar, definition.schedule.missed, entry.watermark, now) else {
            return Ok(next);
        };
        let jobs = match self.jobs(entry, &definition, &plan.ticks).await {
            Ok(jobs) => jobs,
            Err(error) => {
                self.complain(entry, &error);
                return Ok(next);
            }
        };
        let (mut from, most) = (entry.watermark, queue.env.backend.info().batch_max.max(1));
        let ticks: Vec<_> = plan.ticks.chunks(most).collect();
        let parts = ticks.len().max(1);
        for part in 0..parts {
            let jobs = jobs.chunks(most).nth(part).unwrap_or_default();
            // What is left out before the first tick goes with it.
            let last = ticks.get(part).and_then(|ticks| ticks.last()).copied();
            let to = if part + 1 == parts { plan.to } else { last.unwrap_or(plan.to) };
            let request = FireRequest { schedule: &entry.def.name, version: entry.version, from, to, jobs };
            let call = queue.env.backend.fire(&queue.name, &request);
            let answer = bounded(queue.env.timing.call_timeout, "fire", call).await?;
            let _ = fault_point!(queue.name.as_str(), "scheduler.fired");
            let Fired::Applied(stored) = answer else { break };
            let left_out = plan.ticks.is_empty();
            tracing::debug!(queue = %queue.name, schedule = %entry.def.name, tick = %to, left_out, jobs = ?stored, "a tick was fired");
            from = to;
            queue.wake();
        }
        Ok(next)
    }

    /// The jobs of ticks. What middleware does to them is user code, which has no place in an actor.
    async fn jobs(
        &self,
        entry: &ScheduleEntry,
        definition: &Definition,
        ticks: &[Timestamp],
    ) -> Result<Vec<NewJob>, String> {
        let queue = Arc::clone(&self.queue);
        if queue.env.layers.is_empty() {
            return jobs_of(entry, definition, &queue.name, &queue.env.layers, ticks);
        }
        let limit = queue.env.timing.call_timeout;
        let (entry, definition, ticks) = (entry.clone(), definition.clone(), ticks.to_vec());
        let made =
            tokio::spawn(async move { jobs_of(&entry, &definition, &queue.name, &queue.env.layers, &ticks) });
        match timeout(limit, made).await {
            Ok(Ok(jobs)) => jobs,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("middleware takes longer than {limit:?}")),
        }
    }

    /// Takes away what is in nobody's code any more: this process has the type of the job, and not the schedule; and nobody fires it.
    async fn forget(
        &mut self,
        entry: &ScheduleEntry,
        definition: &Definition,
        found: &Schedules,
    ) -> Result<(), BackendError> {
        let queue = Arc::clone(&self.queue);
        let named = queue.schedules.iter().any(|def| def.name == entry.def.name);
        let is_mine = queue.env.handlers.contains_key(&definition.kind) && !named;
        if definition.origin != Origin::Attribute || !is_mine {
            return Ok(());
        }
        let tick = definition.schedule.calendar().next(entry.watermark);
        if tick.is_none_or(|tick| between(tick, found.now) < FORGOTTEN) {
            return Ok(());
        }
        let (version, watermark) = (entry.version, entry.watermark);
        let change = ScheduleChange::RemoveUnchanged { version, watermark };
        let call = queue.env.backend.change_schedule(&queue.name, &entry.def.name, change);
        if bounded(queue.env.timing.call_timeout, "change schedule", call).await? {
            tracing::info!(queue = %queue.name, schedule = %entry.def.name, "a schedule is gone: no code has it any more");
        }
        Ok(())
    }

    fn definition(&mut self, entry: &ScheduleEntry) -> Option<Definition> {
        let is_same = |known: &&Known| known.text == entry.def.definition;
        if let Some(known) = self.known.get(&entry.def.name).filter(is_same) {
            return known.definition.clone();
        }
        let definition = Definition::read(&entry.def);
        if let Err(error) = &definition {
            tracing::error!(queue = %self.queue.name, %error, "a schedule does not fire here");
        }
        let (text, definition) = (entry.def.definition.clone(), definition.ok());
        let known = Known { text, definition: definition.clone(), complained: false };
        self.known.insert(entry.def.name.clone(), known);
        definition
    }

    /// Says once that a tick does not fire; it stays due.
    fn complain(&mut self, entry: &ScheduleEntry, error: &str) {
        if let Some(known) = self.known.get_mut(&entry.def.name).filter(|known| !known.complained) {
            known.complained = true;
            tracing::error!(queue = %self.queue.name, schedule = %entry.def.name, error, "the job of a schedule cannot be made");
        }
    }
}
