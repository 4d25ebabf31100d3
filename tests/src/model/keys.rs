//! What an enqueue does, and what becomes of keys.

use super::call::{Conflict, Instant, New, Number};
use super::reference::{Job, Lane, Place, Reference};
use std::collections::BTreeMap;

/// When a job is due that waits for the end of another one.
pub(super) const NEVER: Instant = Instant::MAX;

impl Reference {
    /// The first job of a batch that asks for an error and finds a key taken, and who has that.
    pub(super) fn refused(&self, jobs: &[New]) -> Option<(Number, Number)> {
        let mut after = self.clone();
        for new in jobs {
            let known = after.jobs.contains_key(&new.job) || after.duplicates.contains_key(&new.job);
            let holder = after.same(new).or_else(|| after.unique.get(&new.unique?).copied());
            if new.conflict == Conflict::Error
                && !known
                && let Some(holder) = holder
            {
                return Some((new.job, holder));
            }
            after.enqueue_one(new);
        }
        None
    }

    /// The answers: which job, and whether it stands in for another one.
    pub(super) fn enqueue(&mut self, jobs: &[New]) -> Vec<(Number, bool)> {
        // Inside of one call, a job that takes the place of one that waited may come before the others.
        let loose =
            |new: &New| new.unique.is_some() && !matches!(new.conflict, Conflict::Existing | Conflict::Error);
        self.shared_turn = jobs.iter().any(loose).then(|| self.next_turn());
        let answers = jobs.iter().map(|new| self.enqueue_one(new)).collect();
        self.shared_turn = None;
        answers
    }

    /// Who has its idempotency key.
    fn same(&self, new: &New) -> Option<Number> {
        let (job, until) = self.idempotency.get(&new.idempotency?.0)?;
        (self.now < *until).then_some(*job)
    }

    fn enqueue_one(&mut self, new: &New) -> (Number, bool) {
        if self.jobs.contains_key(&new.job) {
            self.mark("an enqueue is repeated");
            return (new.job, false);
        }
        if let Some(&holder) = self.duplicates.get(&new.job) {
            return (holder, true);
        }
        let same = self.same(new);
        let place = match (same, new.unique.and_then(|key| self.unique.get(&key).copied())) {
            (Some(holder), _) => Err(holder),
            (None, Some(holder)) => self.place_beside(new, holder),
            (None, None) => Ok(self.place_at(new.delay.map(|delay| delay.after(self.now)))),
        };
        // A request that another job answers is answered by it again.
        if let (Some((key, window)), None) = (new.idempotency, same) {
            let answer = place.err().unwrap_or(new.job);
            if self.idempotency.insert(key, (answer, window.after(self.now))).is_some() {
                self.mark("a window ends");
            }
        }
        let place = match place {
            Ok(place) => place,
            Err(holder) => {
                self.mark("an enqueue finds its key taken");
                self.duplicates.insert(new.job, holder);
                self.tell_batch(new.batch, new.job, Place::Gone);
                return (holder, true);
            }
        };
        if let Some(key) = new.unique
            && !matches!(place, Place::Waiting { due: NEVER, .. })
        {
            self.unique.insert(key, new.job);
        }
        let replaced = self.replaced.get(&new.job).and_then(|old| self.jobs.get(old));
        let job = Job {
            new: new.clone(),
            place,
            charged: 0,
            claims: 0,
            crashes: 0,
            asked_to_stop: false,
            came: replaced.map_or(self.now, |old| old.came),
            died: 0,
            errors: Vec::new(),
            notes: BTreeMap::new(),
        };
        self.jobs.insert(new.job, job);
        (new.job, false)
    }

    fn place_at(&mut self, due: Option<Instant>) -> Place {
        match due.filter(|due| *due > self.now) {
            Some(due) => Place::Waiting { due, retrying: false },
            None => {
                let turn = self.shared_turn.unwrap_or_else(|| self.next_turn());
                Place::Ready { lane: Lane::Fresh, turn }
            }
        }
    }

    /// Where a job begins whose unique key is taken, or who answers for it.
    fn place_beside(&mut self, new: &New, holder: Number) -> Result<Place, Number> {
        let Some(key) = new.unique.filter(|_| !matches!(new.conflict, Conflict::Existing | Conflict::Error))
        else {
            return Err(holder);
        };
        let own_due = new.delay.map(|delay| delay.after(self.now));
        if let Some((next, was_due)) = self.next.get(&key).copied() {
            self.mark("a job that waits behind another one is replaced");
            let due = self.due_in_place(new, next, own_due, Some(was_due));
            self.vanish(new, next);
            self.next.insert(key, (new.job, due.unwrap_or(self.now)));
            return Ok(Place::Waiting { due: NEVER, retrying: false });
        }
        let old = &self.jobs[&holder];
        let (place, same_kind, same_priority) =
            (old.place, old.new.kind == new.kind, old.new.priority == new.priority);
        match place {
            Place::Ready { .. } | Place::Waiting { .. } if same_kind => {
                self.mark("a job that waits is replaced");
                let was_due = if let Place::Waiting { due, .. } = place { Some(due) } else { None };
                let due = self.due_in_place(new, holder, own_due, was_due);
                self.vanish(new, holder);
                let begins = self.place_at(due);
                Ok(match (place, begins) {
                    (Place::Ready { lane: Lane::Fresh, .. }, Place::Ready { .. }) if same_priority => place,
                    _ => begins,
                })
            }
            _ if new.conflict == Conflict::Replace => Err(holder),
            _ => {
                self.mark("a job waits for the end of another one");
                self.next.insert(key, (new.job, own_due.unwrap_or(self.now)));
                Ok(Place::Waiting { due: NEVER, retrying: false })
            }
        }
    }

    fn due_in_place(
        &self,
        new: &New,
        old: Number,
        own: Option<Instant>,
        was: Option<Instant>,
    ) -> Option<Instant> {
        match new.conflict {
            Conflict::Latest => was,
            Conflict::Debounce(most) => Some(own.unwrap_or(self.now).min(most.after(self.jobs[&old].came))),
            _ => own,
        }
    }

    /// A job is gone, and a new one has its place.
    fn vanish(&mut self, new: &New, old: Number) {
        self.replaced.insert(new.job, old);
        let Some(job) = self.jobs.get_mut(&old) else { return };
        job.place = Place::Gone;
        let batch = job.new.batch;
        self.tell_batch(batch, old, Place::Gone);
    }

    /// True if a newer job waits for the end of this one.
    pub(super) fn has_next(&self, number: Number) -> bool {
        let key = self.jobs.get(&number).and_then(|job| job.new.unique);
        key.is_some_and(|key| self.next.get(&key).is_some_and(|(next, _)| *next != number))
    }

    /// A job that ends has no more claim to its key.
    pub(super) fn let_go(&mut self, number: Number, key: u8) {
        if self.next.get(&key).is_some_and(|(next, _)| *next == number) {
            self.next.remove(&key);
        }
        if self.unique.get(&key) != Some(&number) {
            return;
        }
        self.unique.remove(&key);
        if let Some((next, due)) = self.next.remove(&key) {
            self.unique.insert(key, next);
            if let Some(job) = self.jobs.get_mut(&next) {
                job.place = Place::Waiting { due, retrying: false };
            }
        }
    }
}
