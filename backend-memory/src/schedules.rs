//! Schedules.

use crate::clock::Tick;
use crate::state::State;
use jiff::Timestamp;
use job_core::{
    FireRequest, Fired, QueueName, ScheduleChange, ScheduleDef, ScheduleEntry, ScheduleName, Schedules,
    seeded_bug,
};

impl State {
    /// The store's clock as it is told of schedules.
    pub(crate) fn wall_now(&self, now: Tick) -> Timestamp {
        // Down, for it is later than the clock never.
        let micros = self.clock.wall(now).as_microsecond();
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn put_schedules(&mut self, queue: &QueueName, schedules: &[ScheduleDef]) {
        let now = self.wall_now(self.clock.now());
        for def in schedules {
            let version = self.next_seq();
            let queue = self.queue_mut(queue);
            queue.had_job = true;
            let fresh = || ScheduleEntry { def: def.clone(), version, watermark: now, paused: false };
            let entry = queue.schedules.entry(def.name.clone()).or_insert_with(fresh);
            entry.def.job.clone_from(&def.job);
            if entry.def.definition != def.definition && !seeded_bug!("memory_definition_stays") {
                let paused = entry.paused;
                *entry = ScheduleEntry { paused, ..fresh() };
            }
        }
    }

    pub(crate) fn schedules(&self, queue: &QueueName) -> Schedules {
        let now = self.wall_now(self.clock.now());
        let number = self.queue_number(queue);
        let entries = number.map(|n| self.queues[n as usize].schedules.values().cloned().collect());
        Schedules { now, entries: entries.unwrap_or_default() }
    }

    pub(crate) fn fire(&mut self, queue: &QueueName, request: &FireRequest<'_>, now: Tick) -> Fired {
        // Answered as the first time.
        if request.jobs.first().is_some_and(|job| self.table.known(job.id).is_some()) {
            return Fired::Applied(self.enqueue(request.jobs, now));
        }
        let wall = self.wall_now(now);
        let Some(entry) = self.queue_mut(queue).schedules.get_mut(request.schedule) else {
            return Fired::Stale;
        };
        if entry.version != request.version || entry.paused {
            return Fired::Stale;
        }
        if entry.watermark == request.to && request.jobs.is_empty() {
            return Fired::Applied(Vec::new());
        }
        let looked_at = entry.watermark == request.from || seeded_bug!("memory_fires_twice");
        if !looked_at || request.to <= entry.watermark {
            return Fired::Stale;
        }
        if request.to > wall && !seeded_bug!("memory_fires_early") {
            return Fired::Early;
        }
        entry.watermark = request.to;
        Fired::Applied(self.enqueue(request.jobs, now))
    }

    pub(crate) fn change_schedule(
        &mut self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> bool {
        let now = self.wall_now(self.clock.now());
        let schedules = &mut self.queue_mut(queue).schedules;
        let Some(entry) = schedules.get_mut(name) else { return false };
        match change {
            ScheduleChange::Pause => entry.paused = true,
            ScheduleChange::Resume => {
                if entry.paused && !seeded_bug!("memory_pause_is_made_up_for") {
                    entry.watermark = now;
                }
                entry.paused = false;
            }
            ScheduleChange::RemoveUnchanged { version, watermark }
                if (entry.version, entry.watermark) != (version, watermark) =>
            {
                return false;
            }
            _ => drop(schedules.remove(name)),
        }
        true
    }
}
