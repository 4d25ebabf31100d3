//! What a good set of cases shows.

use super::reference::Reference;

/// What thousands of cases must have shown; a run that never gets there proves nothing.
pub(super) const MARKS: [&str; 17] = [
    "an enqueue is repeated",
    "an enqueue finds its key taken",
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
    "a dead job is pruned",
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
