//! How long the jobs of a killed process took to run again.

use super::facts::{Facts, JobFacts, VerdictFate};

/// How long a storm is felt after it is over.
const AFTERMATH_NS: u64 = 2_000_000_000;

/// Times from a kill to the next start of a job that the dead process held, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// How many jobs.
    pub jobs: u64,
    /// Half of them took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// None took longer.
    pub max: u64,
}

impl Recovery {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or(0);
        Self { jobs: times.len() as u64, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// Of all jobs, and of those that no storm delayed.
pub(super) fn recoveries(facts: &Facts) -> (Recovery, Recovery) {
    // What waits for its turn and for tokens does not wait for a recovery.
    let waits = |job: &JobFacts| job.asked.as_ref().is_some_and(|asked| asked.under.fair.is_some());
    let jobs = facts.jobs.values().filter(|job| !waits(job));
    let times: Vec<(u64, u64)> = jobs.flat_map(|job| of_job(facts, job)).collect();
    let ms = |(died, ran): &(u64, u64)| (ran - died) / 1_000_000;
    let calm = |(died, ran): &&(u64, u64)| {
        let stormy = |(from, to): &(u64, u64)| *to + AFTERMATH_NS >= *died && *from <= *ran;
        !facts.storms.iter().any(stormy) && never_alone(facts, *died, *ran)
    };
    (Recovery::of(times.iter().map(ms).collect()), Recovery::of(times.iter().filter(calm).map(ms).collect()))
}

/// True if there was a worker at every moment between these times.
fn never_alone(facts: &Facts, from: u64, to: u64) -> bool {
    let mut at = from;
    while at < to {
        let until =
            facts.lives.iter().filter(|(born, died)| *born <= at && *died > at).map(|(_, died)| *died);
        match until.max() {
            Some(until) => at = until,
            None => return false,
        }
    }
    true
}

/// When the holder was killed and when the job ran again, for each claim whose holder had not told the store anything.
/// If the next holder was killed too before it could start the job, that is not the time of one recovery.
fn of_job(facts: &Facts, job: &JobFacts) -> Vec<(u64, u64)> {
    let silent = |held| {
        let mut said = job.verdicts.iter().filter(|v| v.held == held);
        said.all(|v| matches!(v.fate, VerdictFate::NeverSent | VerdictFate::NotApplied))
    };
    let mut times = Vec::new();
    for claim in job.claims.iter().filter(|c| silent(c.held)) {
        let Some(&died) = facts.deaths.get(&claim.by) else { continue };
        let next = job.starts.iter().find(|s| s.held.claims == claim.held.claims + 1).map(|s| s.at);
        if let Some(ran) = next
            && ran > died
        {
            times.push((died, ran));
        }
    }
    times
}
