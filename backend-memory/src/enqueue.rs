//! Enqueue.

use crate::clock::Tick;
use crate::job::{Job, Place, Rare, Stage};
use crate::keys::KeyText;
use crate::replace::Turn;
use crate::state::State;
use jiff::Timestamp;
use job_core::{Enqueued, NewJob, When, seeded_bug};
use std::time::Duration;

/// Who waits for work hears of what is due within this time, too.
const SOON: Duration = Duration::from_secs(1);

impl State {
    /// True if these jobs surely fit. Jobs that turn out to be duplicates by key are counted too.
    pub(crate) fn has_room(&mut self, jobs: &[NewJob]) -> bool {
        let keyed = jobs.iter().filter(|j| j.idempotency.is_some()).count();
        if self.keys.remembered() + keyed > self.capacity {
            let now = self.clock.now();
            self.keys.prune(now, usize::MAX);
        }
        let fits = |jobs: usize, keyed: usize| {
            self.table.len() + jobs <= self.capacity && self.keys.remembered() + keyed <= self.capacity
        };
        if fits(jobs.len(), keyed) {
            return true;
        }
        let new = jobs.iter().filter(|j| self.table.known(j.id).is_none());
        let (new, keyed) = new.fold((0, 0), |(n, k), j| (n + 1, k + usize::from(j.idempotency.is_some())));
        self.make_room(new);
        self.table.len() + new <= self.capacity && self.keys.remembered() + keyed <= self.capacity
    }

    /// Stores the jobs and wakes their queues.
    pub(crate) fn enqueue(&mut self, jobs: &[NewJob], now: Tick) -> Vec<Enqueued> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut woken = None;
        let wall = self.clock.wall(now);
        for job in jobs {
            let (answer, ready) = self.enqueue_one(job, now, wall);
            answers.push(answer);
            // Batches mostly go to one queue: wake it once.
            if let Some(queue) = ready
                && woken != ready
                && let Some(earlier) = woken.replace(queue)
            {
                self.queues[earlier as usize].wake();
            }
        }
        if let Some(queue) = woken {
            self.queues[queue as usize].wake();
        }
        answers
    }

    /// Stores one job; answers its queue as well if those who wait for work are to hear of it.
    fn enqueue_one(&mut self, new: &NewJob, now: Tick, wall: Timestamp) -> (Enqueued, Option<u32>) {
        if let Some(known) = self.table.known(new.id) {
            return (self.table.answer(new.id, known), None);
        }
        let idempotency = new.idempotency.as_ref().map(|k| KeyText::new(&k.scope, k.key.as_str()));
        let unique = new.unique.as_ref().map(|k| KeyText::new(&k.scope, k.key.as_str()));
        let same = idempotency.as_ref().and_then(|k| self.keys.same_request(k, now));
        let turn = match (same, &unique) {
            (Some(holder), _) => Turn::Existing(holder),
            (None, Some(key)) => self.keys.live(key).map_or(Turn::Free, |holder| self.turn(new, key, holder)),
            (None, None) => Turn::Free,
        };
        // A request that another job answers is answered by it again.
        if same.is_none()
            && let (Some(text), Some(key)) = (&idempotency, &new.idempotency)
        {
            let answer = if let Turn::Existing(holder) = turn { holder } else { new.id };
            let number = self.next_seq();
            self.keys.remember(text.clone(), answer, now.saturating_add(key.window), number);
        }
        if let Turn::Existing(holder) = turn {
            self.table.remember_duplicate(new.id, holder, now);
            if let Some(batch) = new.batch()
                && !seeded_bug!("memory_stand_in_forgotten")
            {
                self.member_ended(batch);
            }
            return (Enqueued::existing(holder), None);
        }
        let queue_no = self.number_queue(&new.queue);
        let queue = &mut self.queues[queue_no as usize];
        queue.had_job = true;
        let kind_no = queue.number_kind(&new.kind);
        let line = new.line().map(|key| queue.lines.number(kind_no, key));
        if let Some(line) = line {
            queue.lines.join(line);
        }
        let start = self.start(new, turn, unique.as_ref(), line, now);
        let job = Job {
            id: new.id,
            kind: new.kind.clone(),
            kind_no,
            queue_no,
            priority: new.priority,
            place: start.place,
            stage: Stage::Fresh,
            cancel: false,
            seq: start.seq,
            born: start.born,
            charged: 0,
            max_attempts: new.max_attempts,
            crashes: 0,
            claims: 0,
            version: new.version,
            payload: new.payload.clone(),
            headers: new.headers.clone(),
            enqueued_at: if start.came == now { wall } else { self.clock.wall(start.came) },
            idempotency,
            unique,
            rare: Rare::of(new, line),
        };
        // Nobody may look again before it is due.
        let soon = |due: Tick| due <= now.saturating_add(SOON) && !seeded_bug!("memory_due_soon_unheard");
        let news = match job.place {
            Place::Ready => true,
            Place::Waiting { due, .. } => soon(due),
            _ => false,
        };
        let ready = news.then_some(queue_no);
        match start.slot {
            Some(slot) => {
                if let Some(line) = line {
                    self.queues[queue_no as usize].lines.replaced(line);
                }
                let old = self.table.swap(slot, job, now);
                if let Some(batch) = old.and_then(|old| old.batch()) {
                    self.member_ended(batch);
                }
            }
            None => {
                let slot = self.table.insert(job);
                if let Some(job) = self.table.get(slot) {
                    self.queues[queue_no as usize].admit(job, slot, &self.clock);
                }
            }
        }
        if let Some(replaced) = start.replaced {
            self.table.remember_replaced(new.id, replaced);
        }
        if let When::Batch { batch, members, event } = new.when {
            self.wait_for_batch(batch, members, event, new.id);
        }
        (Enqueued { replaced: start.replaced, ..Enqueued::stored(new.id) }, ready)
    }
}
