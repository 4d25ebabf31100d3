//! What this process knows about a queue: its shards, and the numbers of its kinds there.

use crate::keys::Tag;
use crate::limits::{Home, LimitsOfKinds, Recent};
use job_core::{Hold, Kind, LeaseId, NewJob, QueueName};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) shards: Vec<Shard>,
    /// When the rarer maintenance was done last.
    looked: Mutex<Option<Instant>>,
    /// Where the next maintenance begins.
    turn: AtomicUsize,
    /// The limits that are declared for its kinds.
    pub(crate) limits: Recent<LimitsOfKinds>,
    /// Those that claims were last under, whose slots verdicts free.
    homes: Mutex<Vec<Arc<Home>>>,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) tag: Tag,
    kinds: Mutex<Arc<Vec<Kind>>>,
    /// Where the next page of the audit begins.
    audited: Mutex<String>,
    /// Where the next page of the outbox begins.
    outbox: Mutex<String>,
}

impl Queue {
    pub(crate) fn new(prefix: &str, name: &QueueName, shards: u32) -> Self {
        let shard = |number| Shard {
            number,
            tag: Tag::new(prefix, name, number),
            kinds: Mutex::default(),
            audited: Mutex::new("0".to_owned()),
            outbox: Mutex::new("0".to_owned()),
        };
        let shards = (0..shards).map(shard).collect();
        Self {
            name: name.clone(),
            shards,
            looked: Mutex::default(),
            turn: AtomicUsize::default(),
            limits: Recent::default(),
            homes: Mutex::default(),
        }
    }

    pub(crate) fn note_homes(&self, homes: Vec<Arc<Home>>) {
        *self.homes.lock().unwrap_or_else(PoisonError::into_inner) = homes;
    }

    pub(crate) fn homes(&self) -> Vec<Arc<Home>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True once in this time; the first time too.
    pub(crate) fn is_due(&self, every: Duration) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|at| at.elapsed() >= every);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }

    /// Where a job goes. Keys and lines are kept in the first shard, so jobs with one go there; others where their ids say, so
    /// that a repeated enqueue goes to the same place.
    pub(crate) fn shard_of(&self, job: &NewJob) -> usize {
        let first = job.idempotency.is_some() || job.unique.is_some() || job.line().is_some();
        if first { 0 } else { self.spread(job.id.as_uuid()) }
    }

    /// One of the shards: ids end in random bits.
    fn spread(&self, id: Uuid) -> usize {
        let [.., a, b] = *id.as_bytes();
        usize::from(u16::from_be_bytes([a, b])) % self.shards.len()
    }

    /// The number of a hold's shard, and the place of its job in the lease there; `None` if the hold is none of ours.
    pub(crate) fn place_of(&self, hold: &Hold) -> Option<(usize, u16)> {
        let [place, shard, _] = hold.locator;
        let shard = usize::try_from(shard).ok().filter(|s| *s < self.shards.len())?;
        Some((shard, u16::try_from(place).ok()?))
    }

    fn from(&self, start: usize) -> impl Iterator<Item = &Shard> {
        self.shards[start..].iter().chain(&self.shards[..start])
    }

    /// The shards, each first in its turn, so that a limit leaves none out for good.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Shard> {
        self.from(self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len())
    }

    /// The order in which a claim looks at the shards: all start equally often, and a repeated claim starts where it did.
    pub(crate) fn order(&self, lease: LeaseId) -> impl Iterator<Item = &Shard> {
        self.from(self.spread(lease.as_uuid()))
    }
}

impl Shard {
    /// The kinds by their numbers, 1 first, as far as they are known here.
    pub(crate) fn kinds(&self) -> Arc<Vec<Kind>> {
        Arc::clone(&self.kinds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn learn(&self, kinds: Vec<Kind>) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(kinds);
    }

    pub(crate) fn audited(&self) -> String {
        self.audited.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn audit_from(&self, cursor: String) {
        *self.audited.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
    }

    pub(crate) fn outbox(&self) -> String {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn outbox_from(&self, cursor: String) {
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
    }

    /// The lanes of all kinds that are known here.
    pub(crate) fn lanes(&self) -> Vec<String> {
        self.kinds().iter().map(|k| self.tag.lane(k)).collect()
    }
}

/// The number of a kind, 0 if it has none yet.
pub(crate) fn number_of(kinds: &[Kind], kind: &Kind) -> u16 {
    let place = kinds.iter().position(|k| k == kind);
    place.and_then(|p| u16::try_from(p + 1).ok()).unwrap_or(0)
}
