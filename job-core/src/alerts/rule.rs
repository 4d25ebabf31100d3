//! What an alert is raised for, and when it ends.

use crate::QueueName;
use std::time::Duration;

/// When an alert is raised about a queue, and when it is cleared. Plain data: a measure, a level, and how long it must last.
///
/// A rule raises when its measure has been at its level or above for its [hold](Self::held_for) time, and clears when the
/// measure has been below [`clears_below`](Self::clears_below) for as long. In between nothing changes, so an alert
/// does not flap.
///
/// ```
/// use job_core::Rule;
/// use std::time::Duration;
///
/// let rule = Rule::queue_depth(5_000)
///     .clears_below(1_000)
///     .held_for(Duration::from_secs(60))
///     .only_queue("email");
/// assert_eq!(rule.name(), "queue_depth");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) name: String,
    pub(crate) measure: Measure,
    /// In jobs or milliseconds, as the measure has it.
    pub(crate) raises_at: u64,
    pub(crate) clears_below: u64,
    pub(crate) hold: Duration,
    pub(crate) queues: Vec<String>,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Dead jobs.
    DeadDepth,
    /// Dead jobs that were not there before, within this time.
    DeadGrowth(Duration),
    /// For how many ms the first ready job has been ready.
    OldestReady,
    /// Ready jobs.
    QueueDepth,
    /// For how many ms nobody has taken the first ready job of a kind that this runtime does not handle.
    NoWorker,
    /// For how many ms the first tick of a schedule that has not been decided has been due.
    MissedSchedule,
}

impl Measure {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::DeadDepth | Self::DeadGrowth(_) | Self::QueueDepth => "jobs",
            Self::OldestReady | Self::NoWorker | Self::MissedSchedule => "ms",
        }
    }
}

/// The most jobs that a rule may ask for: beyond that counting would cost too much.
const JOBS_MAX: u64 = 1_000_000;

impl Rule {
    /// So many dead jobs or more in a queue.
    #[must_use]
    pub fn dead_depth(jobs: u32) -> Self {
        Self::new("dead_depth", Measure::DeadDepth, u64::from(jobs))
    }

    /// So many new dead jobs or more within this time, as seen by this process. Replaying some does not hide others.
    #[must_use]
    pub fn dead_growth(jobs: u32, within: Duration) -> Self {
        Self::new("dead_growth", Measure::DeadGrowth(within), u64::from(jobs))
    }

    /// A job has been ready, without being claimed, for this long. Time before it became ready (scheduled, waiting for a
    /// retry, dead) does not count; nor does time before this process looked first.
    #[must_use]
    pub fn oldest_ready(age: Duration) -> Self {
        Self::new("oldest_ready", Measure::OldestReady, ms(age))
    }

    /// So many ready jobs or more in a queue.
    #[must_use]
    pub fn queue_depth(jobs: u32) -> Self {
        Self::new("queue_depth", Measure::QueueDepth, u64::from(jobs))
    }

    /// Jobs of a kind that this runtime does not handle in that queue are ready, and nobody has taken the first of them
    /// for this long: no live worker handles them. Says nothing while the queue is paused.
    #[must_use]
    pub fn no_worker(age: Duration) -> Self {
        Self::new("no_worker", Measure::NoWorker, ms(age))
    }

    /// A tick of a schedule has been due for this long, and nobody has fired it or left it out: no live worker works on the queue,
    /// or none has the program that declares the schedule. Raised for the kind of its jobs. Says nothing of paused schedules.
    #[must_use]
    pub fn missed_schedule(age: Duration) -> Self {
        Self::new("missed_schedule", Measure::MissedSchedule, ms(age))
    }

    fn new(name: &str, measure: Measure, raises_at: u64) -> Self {
        let name = name.to_owned();
        Self { name, measure, raises_at, clears_below: raises_at, hold: Duration::ZERO, queues: Vec::new() }
    }

    /// Another name, for two rules about the same thing: 1-64 of `a-z 0-9 _ - .`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name, which is part of the key of its alerts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Clears below so many jobs, for rules that count jobs; the level that raises unless set.
    #[must_use]
    pub fn clears_below(mut self, jobs: u32) -> Self {
        self.clears_below = u64::from(jobs);
        self
    }

    /// Clears below this age, for rules about ages; the level that raises unless set.
    #[must_use]
    pub fn clears_below_age(mut self, age: Duration) -> Self {
        self.clears_below = ms(age);
        self
    }

    /// How long the measure must stay at its level before the rule raises, and below the other before it clears; no time
    /// unless set: one look is enough.
    #[must_use]
    pub fn held_for(mut self, time: Duration) -> Self {
        self.hold = time;
        self
    }

    /// Only for this queue; may be used several times. All queues unless set.
    #[must_use]
    pub fn only_queue(mut self, name: impl Into<String>) -> Self {
        self.queues.push(name.into());
        self
    }

    pub(crate) fn concerns(&self, queue: &QueueName) -> bool {
        self.queues.is_empty() || self.queues.iter().any(|q| q == queue.as_str())
    }

    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        let name = &self.name;
        if let Err(error) = QueueName::new(name) {
            return Some(format!(
                "the name of an alert rule: {}",
                error.to_string().replace("queue name ", "")
            ));
        }
        if let Some(error) = self.queues.iter().find_map(|q| QueueName::new(q).err()) {
            return Some(format!("alert rule {name}: {error}"));
        }
        if self.raises_at == 0 {
            return Some(format!("alert rule {name} would always be raised; use 1 or more"));
        }
        if self.clears_below == 0 || self.clears_below > self.raises_at {
            let (low, high, unit) = (self.clears_below, self.raises_at, self.measure.unit());
            return Some(format!(
                "alert rule {name} raises at {high} {unit}, so it must clear below 1 to {high}, not {low}"
            ));
        }
        if self.measure.unit() == "jobs" && self.raises_at > JOBS_MAX {
            return Some(format!(
                "alert rule {name} counts to {}; at most {JOBS_MAX} are counted",
                self.raises_at
            ));
        }
        match self.measure {
            Measure::DeadGrowth(within) if within.is_zero() || within > Duration::from_secs(24 * 60 * 60) => {
                Some(format!("alert rule {name} looks back {within:?}, which is not between 0 and 24 h"))
            }
            _ => None,
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
