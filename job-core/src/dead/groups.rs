//! Dead jobs by what went wrong.

use super::DeadLetters;
use super::filter::DeadFilter;
use super::fingerprint::Fingerprint;
use super::pages::PAGE;
use crate::error::BackendError;
use crate::listing::Cursor;
use crate::operate::JobRecord;
use crate::verdict::DeadReason;
use crate::{JobId, Kind};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// Dead jobs whose last errors are equal but for what changes from job to job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeadGroup {
    /// What the errors have in common.
    pub fingerprint: Fingerprint,
    /// How many jobs.
    pub count: u64,
    /// When the first of them died, by the store's clock.
    pub first_died: Timestamp,
    /// When the last of them died.
    pub last_died: Timestamp,
    /// One of them: the last to die.
    pub sample: JobId,
    /// Its last error; empty if it died without one.
    pub error: String,
    /// How many of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many for each reason.
    pub reasons: BTreeMap<DeadReason, u64>,
}

/// The answer of [`DeadLetters::groups`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DeadGroups {
    /// The groups, the largest first.
    pub groups: Vec<DeadGroup>,
    /// How many dead jobs were looked at, matching or not.
    pub looked_at: u64,
    /// True if there are more dead jobs than were to be looked at: the counts are too small, and groups may be missing.
    pub cut: bool,
}

impl DeadLetters {
    /// Dead jobs by what went wrong, the largest group first. Reads every dead job of the queue, a page at a time, but no more
    /// than `jobs_max`, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn groups(&self, filter: &DeadFilter, jobs_max: u64) -> Result<DeadGroups, BackendError> {
        let mut found = HashMap::<Fingerprint, DeadGroup>::new();
        let mut answer = DeadGroups::default();
        let mut after: Option<Cursor> = None;
        loop {
            let left = jobs_max - answer.looked_at;
            if left == 0 {
                answer.cut = true;
                break;
            }
            let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let page = self.page(filter.kind.as_ref(), after, limit).await?;
            answer.looked_at += page.jobs.len() as u64;
            for job in page.jobs.iter().filter(|j| filter.matches(j)) {
                add(&mut found, job);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        answer.groups = found.into_values().collect();
        answer.groups.sort_unstable_by_key(|g| (std::cmp::Reverse(g.count), g.fingerprint));
        Ok(answer)
    }
}

fn add(groups: &mut HashMap<Fingerprint, DeadGroup>, job: &JobRecord) {
    let fingerprint = Fingerprint::of(job);
    let died = job.died_at.unwrap_or_default();
    let group = groups.entry(fingerprint).or_insert_with(|| DeadGroup {
        fingerprint,
        count: 0,
        first_died: died,
        last_died: died,
        sample: job.id,
        error: String::new(),
        kinds: BTreeMap::new(),
        reasons: BTreeMap::new(),
    });
    group.count += 1;
    group.first_died = group.first_died.min(died);
    if group.count == 1 || died > group.last_died {
        (group.last_died, group.sample) = (died, job.id);
        group.error = job.errors.last().map(|e| e.error.clone()).unwrap_or_default();
    }
    *group.kinds.entry(job.kind.clone()).or_default() += 1;
    if let Some(reason) = job.dead_reason {
        *group.reasons.entry(reason).or_default() += 1;
    }
}
