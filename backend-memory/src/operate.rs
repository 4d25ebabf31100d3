//! Looking and administration.

use crate::job::{Job, Place, Stage};
use crate::state::State;
use job_core::{
    Amendment, Cancelled, Cursor, Gauges, JobId, JobRecord, JobState, KindGauge, ListFilter, Page, QueueName,
    QueueStats, seeded_bug,
};
use std::time::Duration;

impl State {
    fn record(&self, job: &Job) -> JobRecord {
        job.record(&self.queues[job.queue_no as usize].name, &self.clock)
    }

    pub(crate) fn get(&self, id: JobId) -> Option<JobRecord> {
        let job = self.table.find(id).and_then(|slot| self.table.get(slot))?;
        Some(JobRecord { notes: job.notes(), ..self.record(job) })
    }

    /// A page; `None` if the cursor is not ours.
    pub(crate) fn list(&self, filter: &ListFilter) -> Option<Page> {
        let after = match &filter.after {
            Some(cursor) => cursor.0.parse::<u64>().ok()?,
            None => 0,
        };
        let Some(number) = self.queue_number(&filter.queue) else { return Some(Page::default()) };
        let mut found: Vec<(u64, &Job)> = self
            .table
            .iter()
            .map(|(_, job)| (job.born, job))
            .filter(|&(born, job)| {
                born > after
                    && job.queue_no == number
                    && job.state() == filter.state
                    && filter.kind.as_ref().is_none_or(|k| *k == job.kind)
            })
            .collect();
        found.sort_unstable_by_key(|&(born, _)| born);
        let limit = filter.limit.max(1) as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(born, _)| Cursor(born.to_string()));
        Some(Page { jobs: found.into_iter().map(|(_, job)| self.record(job)).collect(), next })
    }

    pub(crate) fn replay(&mut self, id: JobId) -> bool {
        let Some(slot) = self.table.find(id) else { return false };
        let Some(job) = self.table.get_mut(slot) else { return false };
        let Place::Dead { at, .. } = job.place else { return false };
        if let Some(key) = &job.unique {
            if self.keys.live(key).is_some() && !seeded_bug!("memory_replay_takes_key") {
                return false;
            }
            self.keys.hold(key.clone(), id);
        }
        job.charged = 0;
        job.crashes = 0;
        let queue = job.queue_no as usize;
        self.queues[queue].dead.remove(&(at, slot));
        self.make_ready(slot, Stage::Fresh);
        self.queues[queue].wake();
        true
    }

    pub(crate) fn amend(&mut self, id: JobId, amendment: &Amendment) -> bool {
        let now = self.clock.wall(self.clock.now());
        let Some(job) = self.table.find(id).and_then(|slot| self.table.get_mut(slot)) else { return false };
        if job.state() != JobState::Dead && !seeded_bug!("memory_amends_live_jobs") {
            return false;
        }
        if let Some(payload) = &amendment.payload {
            job.payload = payload.clone();
        }
        for edit in &amendment.notes {
            job.note(edit, now);
        }
        true
    }

    pub(crate) fn discard(&mut self, id: JobId) -> bool {
        let now = self.clock.now();
        let Some(slot) = self.table.find(id) else { return false };
        let Some(job) = self.table.get(slot) else { return false };
        let Place::Dead { at, .. } = job.place else { return false };
        self.queues[job.queue_no as usize].dead.remove(&(at, slot));
        self.finish(slot, now);
        true
    }

    pub(crate) fn cancel(&mut self, id: JobId) -> Cancelled {
        let now = self.clock.now();
        let Some(slot) = self.table.find(id) else { return Cancelled::NotFound };
        let Some(job) = self.table.get_mut(slot) else { return Cancelled::NotFound };
        match job.place {
            Place::Running => {
                job.cancel = true;
                Cancelled::Asked
            }
            Place::Dead { .. } | Place::Completed { .. } => Cancelled::NotFound,
            Place::Ready | Place::Waiting { .. } => {
                self.cancel_waiting(slot, now);
                Cancelled::Now
            }
        }
    }

    pub(crate) fn stats(&self, queue: &QueueName) -> QueueStats {
        let mut stats = QueueStats::default();
        let Some(number) = self.queue_number(queue) else { return stats };
        stats.paused = self.queues[number as usize].paused;
        stats.paused_kinds = self.queues[number as usize].paused_kinds.iter().cloned().collect();
        let mut oldest = None;
        for (_, job) in self.table.iter().filter(|(_, j)| j.queue_no == number) {
            match job.place {
                Place::Ready => {
                    stats.ready += 1;
                    oldest = Some(oldest.map_or(job.enqueued_at, |at| job.enqueued_at.min(at)));
                }
                Place::Waiting { retrying: false, .. } => stats.scheduled += 1,
                Place::Waiting { retrying: true, .. } => stats.retrying += 1,
                Place::Running => stats.running += 1,
                Place::Dead { .. } => stats.dead += 1,
                Place::Completed { .. } => stats.completed += 1,
            }
        }
        let now = self.clock.wall(self.clock.now());
        stats.oldest_ready = oldest.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
        stats
    }

    pub(crate) fn gauges(&mut self, queue: &QueueName) -> Gauges {
        let mut gauges = Gauges::default();
        let Some(number) = self.queue_number(queue) else { return gauges };
        let schedules = self.schedules(queue);
        let (now, last) = (self.clock.wall(self.clock.now()), self.last_seq());
        let queue = &mut self.queues[number as usize];
        gauges.paused = queue.paused;
        gauges.paused_kinds = queue.paused_kinds.iter().cloned().collect();
        gauges.dead = queue.dead.len() as u64;
        gauges.ready = queue.lanes.iter().map(|lanes| lanes.ready() as u64).sum();
        gauges.ready += queue.lines.waiting() as u64;
        gauges.given = vec![last];
        let kinds: Vec<_> = queue.kinds().map(|(kind, number)| (kind.clone(), number)).collect();
        for (kind, number) in kinds {
            let in_lanes = queue.lanes[number as usize].oldest(&self.table);
            let oldest = in_lanes.into_iter().chain(queue.lines.oldest(number)).min();
            let Some((number, slot)) = oldest else { continue };
            let Some(job) = self.table.get(slot) else { continue };
            let since_enqueued = Duration::try_from(now.duration_since(job.enqueued_at)).unwrap_or_default();
            gauges.kinds.push(KindGauge { kind, part: 0, number, since_enqueued });
        }
        gauges.kinds.sort_unstable_by(|a, b| a.kind.cmp(&b.kind));
        gauges.schedules = schedules;
        gauges
    }

    pub(crate) fn queues(&self) -> Vec<QueueName> {
        let mut names: Vec<_> = self.queues.iter().filter(|q| q.had_job).map(|q| q.name.clone()).collect();
        names.sort_unstable();
        names
    }
}
