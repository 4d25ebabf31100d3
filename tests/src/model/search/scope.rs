//! What a search tries: one that tried everything at once would not come far.

use super::step::{Caller, Fate, LASTS};
use crate::model::call::Ending;

/// Which events are tried.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub(super) name: &'static str,
    /// Both jobs have the same unique key.
    pub(super) unique: bool,
    pub(super) endings: &'static [Ending],
    pub(super) extend: bool,
    /// Cancel, replay and discard.
    pub(super) operate: bool,
    /// What becomes of the requests of the producer, and of those of the workers.
    producer: &'static [Fate],
    workers: &'static [Fate],
    /// How many requests may be late at once.
    pub(super) late: usize,
}

const ALL: &[Fate] = &[Fate::Answered, Fate::Lost, Fate::Late, Fate::Twice];

pub(super) const SCOPES: [Scope; 3] = [
    Scope {
        name: "leases",
        unique: false,
        endings: &[Ending::Complete, Ending::Retry(LASTS), Ending::Release, Ending::Snooze(LASTS)],
        extend: true,
        operate: false,
        producer: &[Fate::Answered],
        workers: ALL,
        late: 1,
    },
    Scope {
        name: "late requests",
        unique: false,
        endings: &[Ending::Complete, Ending::Release],
        extend: false,
        operate: false,
        producer: &[Fate::Answered],
        workers: ALL,
        late: 2,
    },
    Scope {
        name: "keys and operators",
        unique: true,
        endings: &[Ending::Complete, Ending::Dead, Ending::Release],
        extend: false,
        operate: true,
        producer: ALL,
        workers: ALL,
        late: 1,
    },
];

impl Scope {
    pub(super) fn fates(&self, caller: Caller) -> &'static [Fate] {
        match caller {
            Caller::Producer => self.producer,
            Caller::Worker(_) => self.workers,
        }
    }
}
