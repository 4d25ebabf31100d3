//! What the reference forgets of the dead.

use super::call::{Number, Span};
use super::reference::{Place, Reference};

impl Reference {
    /// Removes jobs that have been dead for longer than this; answers how many.
    pub(super) fn prune_dead(&mut self, kept: Span) -> u64 {
        let dead = self.jobs.iter().filter(|(_, job)| matches!(job.place, Place::Dead(_)));
        let old: Vec<Number> =
            dead.filter(|(_, job)| kept.after(job.died) < self.now).map(|(number, _)| *number).collect();
        for number in &old {
            self.mark("a dead job is pruned");
            self.end(*number, Place::Gone);
        }
        old.len() as u64
    }
}
