//! What becomes of ticks that were missed, and of those that meet a run that has not ended.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What becomes of ticks that nobody fired in time, because no process ran or the store was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missed {
    /// Nothing, unless the latest of them is not older than `grace`.
    Skip {
        /// How old the latest tick may be; [`Missed::GRACE`] is usual.
        grace: Duration,
    },
    /// The latest one fires; the others are gone.
    #[default]
    Once,
    /// The latest `max` of them fire, in order; older ones are gone.
    All {
        /// 1 to [`Missed::ALL_MAX`].
        max: u32,
    },
}

impl Missed {
    /// How old a tick may be that is not missed yet: 1 minute.
    pub const GRACE: Duration = Duration::from_secs(60);
    /// The most ticks that are made up for: 1,000.
    pub const ALL_MAX: u32 = 1_000;

    /// Nothing fires for missed ticks, unless the latest is not older than a minute.
    #[must_use]
    pub const fn skip() -> Self {
        Self::Skip { grace: Self::GRACE }
    }
}

/// What a tick does while a job of the same schedule is live: scheduled, ready, running or retrying.
///
/// It is done by a [unique key](crate::UniqueKey) of the schedule, in the step that fires the tick, so it holds with any number of
/// processes. Another policy than `Allow` needs a job without a unique key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Overlap {
    /// It enqueues its job all the same.
    #[default]
    Allow,
    /// It enqueues nothing.
    Skip,
    /// One job may wait behind a running one, the newest ([`OnConflict::Latest`](crate::OnConflict::Latest)).
    Queue,
}
