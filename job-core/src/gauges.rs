//! What an alert looks at: numbers of a queue that are read in the same time however many jobs it has.

use crate::Kind;
use crate::schedule::Schedules;
use std::time::Duration;

/// A few numbers of a queue. [`Operate::gauges`](crate::Operate::gauges) reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauges {
    /// True if claims are stopped.
    pub paused: bool,
    /// The kinds whose claims are stopped, by name. Their jobs are counted like any other.
    pub paused_kinds: Vec<Kind>,
    /// Jobs in the dead-letter queue, or as far as they were counted.
    pub dead: u64,
    /// Jobs that can be claimed now, or as far as they were counted.
    pub ready: u64,
    /// For each part of the queue, the number that the latest job to become ready there was given. Numbers of one part
    /// only grow, so a job with a number that had been given a minute ago has been ready for a minute at least. Most
    /// stores have one part.
    pub given: Vec<u64>,
    /// Every kind that has ready jobs, in each part that has some.
    pub kinds: Vec<KindGauge>,
    /// The schedules.
    pub schedules: Schedules,
}

/// The ready job of a kind that became ready first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindGauge {
    /// The kind.
    pub kind: Kind,
    /// The part of the queue, an index of [`Gauges::given`].
    pub part: usize,
    /// The number it was given when it became ready, this time.
    pub number: u64,
    /// How long ago it was enqueued. That may be long before it became ready: it was scheduled, retried or replayed.
    pub since_enqueued: Duration,
}
