//! Notes.

use crate::clock::Tick;
use crate::job::Job;
use crate::leases::Fate;
use crate::state::State;
use job_core::{Hold, LeaseStatus, Note, NoteEdit, QueueName, seeded_bug};

impl State {
    pub(crate) fn save(
        &mut self,
        queue: &QueueName,
        hold: &Hold,
        edits: &[NoteEdit],
        now: Tick,
    ) -> LeaseStatus {
        let Some(number) = self.queue_number(queue) else { return LeaseStatus::Stale };
        let at = self.clock.wall(now);
        let slot = match self.fate(number, hold) {
            Some((_, slot, Fate::Held)) => slot,
            Some((_, slot, Fate::Reaped)) if seeded_bug!("memory_notes_of_a_zombie") => slot,
            _ => return LeaseStatus::Stale,
        };
        let Some(job) = self.table.get_mut(slot) else { return LeaseStatus::Stale };
        for edit in edits {
            job.note(edit, at);
        }
        LeaseStatus::Held
    }

    pub(crate) fn notes(&self, hold: &Hold) -> Vec<Note> {
        let job = self.table.find(hold.job).and_then(|slot| self.table.get(slot));
        job.map(Job::notes).unwrap_or_default()
    }
}
