//! What a good set of cases shows.

use super::reference::Reference;

/// What thousands of cases must have shown; a run that never gets there proves nothing.
pub(super) const MARKS: [&str; 28] = [
    "an enqueue is repeated",
    "an enqueue finds its key taken",
    "an enqueue is refused",
    "a job that waits is replaced",
    "a job that waits behind another one is replaced",
    "a job waits for the end of another one",
    "a job makes way for a newer one",
    "a window ends",
    "a verdict is applied",
    "a verdict is applied already",
    "a verdict is stale",
    "a job asked to stop comes back",
    "attempts run out",
    "a job is poisoned",
    "a suspect is taken",
    "a solo job is taken",
    "a claim is repeated",
    "a replay finds its key taken",
    "a dead job is replayed",
    "a waiting job is run at once",
    "a job is kept",
    "a dead job is pruned",
    "a batch ends",
    "the death of a member is told",
    "a batch ends without a death",
    "a member is answered by another job",
    "a note is written",
    "a note is refused",
];

impl Reference {
    /// Notes that this has happened.
    pub(super) fn mark(&mut self, mark: &'static str) {
        debug_assert!(MARKS.contains(&mark), "an unlisted mark: {mark}");
        self.marks.insert(mark);
    }
}
