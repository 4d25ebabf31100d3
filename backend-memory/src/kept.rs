//! Completed jobs that stay to be looked at.

use crate::clock::Tick;
use crate::job::Place;
use crate::state::State;
use job_core::{Kept, Note, NoteEdit, seeded_bug};

impl State {
    /// Lets a job that has completed stay, with what it returned.
    pub(crate) fn keep(&mut self, slot: u32, kept: &Kept, now: Tick) {
        let (seq, at) = (self.next_seq(), self.clock.wall(now));
        let until = now.saturating_add(kept.period);
        let Some(job) = self.table.get_mut(slot) else { return };
        job.seq = seq;
        job.charge();
        job.crashes = 0;
        job.place = Place::Completed { at: now, until };
        job.cancel = false;
        job.note(&NoteEdit { name: Note::RESULT.to_owned(), value: kept.result.clone() }, at);
        self.queues[job.queue_no as usize].completed += 1;
        let (id, unique, batch) = (job.id, job.unique.take(), job.leave_batch());
        if let Some(key) = unique {
            self.let_go(&key, id);
        }
        self.leave_line_for_good(slot);
        self.kept.insert((until, seq), slot);
        if let Some(batch) = batch {
            self.member_ended(batch);
        }
    }

    /// Removes kept jobs whose time is over; how many, and whether more are left.
    pub(crate) fn forget_kept(&mut self, now: Tick, limit: usize) -> (u64, bool) {
        for done in 0..limit {
            match self.kept.first_key_value() {
                Some((&(until, _), _)) if until <= now && !seeded_bug!("memory_kept_for_ever") => {
                    self.forget_next_kept(now)
                }
                _ => return (done as u64, false),
            }
        }
        (limit as u64, true)
    }

    /// Removes kept jobs before their time, for jobs that have still to run need the room.
    pub(crate) fn make_room(&mut self, jobs: usize) {
        let now = self.clock.now();
        while self.table.len() + jobs > self.capacity && !self.kept.is_empty() {
            self.forget_next_kept(now);
        }
    }

    fn forget_next_kept(&mut self, now: Tick) {
        let Some((_, slot)) = self.kept.pop_first() else { return };
        if let Some(job) = self.table.get(slot) {
            self.queues[job.queue_no as usize].completed -= 1;
        }
        self.table.remove(slot, now);
    }
}
