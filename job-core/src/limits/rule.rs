//! What a limit allows.

use std::time::Duration;

/// Why a limit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLimit(String);

/// So many in such a time: `"100/s"`, `"30/min"`, `"5000/h"`, `"1/10s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many jobs may start in `per`, at least 1.
    pub count: u32,
    /// The time, 1 ms to 31 days.
    pub per: Duration,
    /// How many may start at once after a pause, at least 1.
    pub burst: u32,
}

impl Rate {
    /// The longest time that a rate may be given for.
    pub const PER_MAX: Duration = Duration::from_millis(job_cron::Rate::PER_MAX_MS);

    /// A rate from its text; bursts of as many as it allows in a second, at least one.
    ///
    /// # Errors
    /// [`InvalidLimit`] that says what a rate looks like.
    pub fn parse(text: &str) -> Result<Self, InvalidLimit> {
        let job_cron::Rate { count, per_ms, burst } = job_cron::Rate::parse(text).map_err(|why| {
            let hint =
                "write a number, a slash and a time, as in \"100/s\", \"30/min\", \"5000/h\" or \"1/10s\"";
            InvalidLimit(format!("the rate {text:?} {why}: {hint}"))
        })?;
        Ok(Self { count, per: Duration::from_millis(per_ms), burst })
    }

    /// The time between two jobs at this rate, in whole microseconds, rounded up: never more than a million a second.
    #[must_use]
    pub fn interval_us(&self) -> u64 {
        u64::try_from(self.per.as_micros().div_ceil(u128::from(self.count.max(1)))).unwrap_or(u64::MAX).max(1)
    }
}

/// What a limit allows, as stores keep it. Made by [`Limit::rule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitRule {
    /// How many jobs may run at one time, at least 1; `None` is any number.
    pub concurrency: Option<u32>,
    /// How many jobs may be claimed in a time; `None` is any number.
    pub rate: Option<Rate>,
    /// If the concurrency adapts to what goes well, how few it may come down to: at least 1, less than `concurrency`.
    pub adaptive_min: Option<u32>,
}

impl LimitRule {
    /// How many jobs may run at one time where processes have asked for this number last.
    #[must_use]
    pub fn adapted(&self, asked: Option<u32>) -> Option<u32> {
        let (most, Some(least)) = (self.concurrency?, self.adaptive_min) else { return self.concurrency };
        Some(asked.map_or(most, |n| n.min(most).max(least.min(most))))
    }

    /// How many it is after this step; `None` if this rule does not adapt.
    #[must_use]
    pub fn step(&self, asked: Option<u32>, step: &LimitStep) -> Option<u32> {
        self.adaptive_min?;
        let now = self.adapted(asked)?;
        let next = match step {
            LimitStep::Raise => now.saturating_add(1),
            LimitStep::Lower { .. } => now - now.div_ceil(4),
        };
        self.adapted(Some(next))
    }
}

/// What a process asks of a limit that adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitStep {
    /// One more: attempts under it went well.
    Raise,
    /// A quarter less, at least one, because an attempt failed. Nothing is done if the limit was lowered after that job was
    /// claimed: one time of trouble fails many that run at once.
    Lower {
        /// How long ago the job was claimed, at most.
        claimed: Duration,
    },
}

/// A limit that all processes share, such as what a downstream can take.
///
/// ```
/// use job_core::Limit;
/// let stripe = Limit::concurrency(10).rate("100/s").burst(20);
/// # assert!(stripe.rule().is_ok());
/// ```
///
/// Mistakes in it are reported where it is used: by `build()`, or by the call that sets it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a limit does nothing until it is given to a runtime"]
pub struct Limit {
    concurrency: Option<u32>,
    rate: Option<String>,
    burst: Option<u32>,
    breaker: Option<Breaker>,
    adaptive_min: Option<u32>,
}

/// When a process closes a limit because what is behind it seems to be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breaker {
    pub(crate) failures: u32,
    pub(crate) period: Duration,
}

impl Limit {
    /// At most so many jobs at one time.
    pub fn concurrency(jobs: u32) -> Self {
        Self { concurrency: Some(jobs), ..Self::default() }
    }

    /// At most so many jobs in a time, as in [`Rate::parse`], and any number at one time.
    pub fn per(rate: impl Into<String>) -> Self {
        Self::default().rate(rate)
    }

    /// And at most so many jobs in a time: `"100/s"`, `"30/min"`, `"5000/h"`, `"1/10s"`.
    pub fn rate(mut self, rate: impl Into<String>) -> Self {
        self.rate = Some(rate.into());
        self
    }

    /// With so many jobs at once after a pause; as many as the rate allows in a second unless set, and at least one.
    pub fn burst(mut self, jobs: u32) -> Self {
        self.burst = Some(jobs);
        self
    }

    /// Closes the limit for everybody, for this long, when so many attempts of jobs under it have failed in a row in one
    /// process. Then jobs start again; the next failure closes it at once, a success forgets the failures.
    ///
    /// Only a limit that is given to a runtime has a breaker; attempts that were put off, cancelled or given back say nothing.
    pub fn breaker(mut self, failures: u32, period: Duration) -> Self {
        self.breaker = Some(Breaker { failures, period });
        self
    }

    /// Lets the concurrency adapt to what is behind it, for all processes: down by a quarter when an attempt fails, to no fewer than
    /// `min` jobs at one time, and up by one after ten successes in a row for each job that may run, to no more than the
    /// concurrency given. Failures of jobs that were claimed before it was last lowered do not lower it again.
    ///
    /// A timeout is a failure; an error that is permanent says nothing. Only a limit that is given to a runtime adapts.
    ///
    /// ```
    /// use job_core::Limit;
    /// // Nobody knows what the service can take today: between 2 and 100 at one time.
    /// let search = Limit::concurrency(100).adaptive(2);
    /// # assert!(search.rule().is_ok());
    /// ```
    pub fn adaptive(mut self, min: u32) -> Self {
        self.adaptive_min = Some(min);
        self
    }

    /// What breaks it, checked by [`rule`](Self::rule).
    pub(crate) fn get_breaker(&self) -> Option<Breaker> {
        self.breaker
    }

    /// What it allows.
    ///
    /// # Errors
    /// [`InvalidLimit`] if it lets nothing through, limits nothing, or its rate cannot be read.
    pub fn rule(&self) -> Result<LimitRule, InvalidLimit> {
        let refuse = |text: &str| Err(InvalidLimit(text.to_owned()));
        let mut rate = self.rate.as_deref().map(Rate::parse).transpose()?;
        match (self.burst, &mut rate) {
            (Some(0), _) => return refuse("a burst of 0 lets nothing through; use 1 or more"),
            (Some(_), None) => return refuse("a burst without a rate means nothing; add .rate(..)"),
            (Some(burst), Some(rate)) => rate.burst = burst,
            (None, _) => {}
        }
        if let Some(Breaker { failures, period }) = self.breaker
            && (failures == 0 || period.is_zero())
        {
            return refuse("a breaker needs at least one failure, and a time to stay closed for");
        }
        let adaptive_min = self.adaptive_min;
        match (adaptive_min, self.concurrency) {
            (Some(0), _) => return refuse("adaptive(0) could let nothing through for ever; use 1 or more"),
            (Some(_), None) => {
                return refuse(
                    "adaptive(..) needs a concurrency to come back to; add Limit::concurrency(..)",
                );
            }
            (Some(min), Some(most)) if min >= most => {
                return refuse("adaptive(..) leaves nothing to adapt; give fewer than the concurrency");
            }
            _ => {}
        }
        match (self.concurrency, rate) {
            (Some(0), _) => refuse("concurrency 0 lets nothing through; pause the queue or the kind instead"),
            (None, None) if self.breaker.is_none() => {
                refuse("it limits nothing; use Limit::concurrency(..) or Limit::per(..)")
            }
            (concurrency, rate) => Ok(LimitRule { concurrency, rate, adaptive_min }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, per: Duration, burst: u32) -> Result<Rate, InvalidLimit> {
        Ok(Rate { count, per, burst })
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(Rate::parse("100/s"), rate(100, Duration::from_secs(1), 100));
        assert_eq!(Rate::parse("30/min"), rate(30, Duration::from_secs(60), 1));
        assert_eq!(Rate::parse("7200 / h"), rate(7200, Duration::from_secs(3600), 2));
        assert_eq!(Rate::parse("1/10s"), rate(1, Duration::from_secs(10), 1));
        assert_eq!(Rate::parse("1/10s").map(|r| r.interval_us()), Ok(10_000_000));
        for bad in ["", "100", "/s", "x/s", "0/s", "1/", "1/0s", "1/fortnight", "1/32d", "-1/s", "1.5/s"] {
            let error = Rate::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("as in \"100/s\""), "{error}");
        }
    }

    #[test]
    fn steps_stay_between_the_bounds() {
        let rule = Limit::concurrency(10).adaptive(3).rule().expect("valid");
        let lower = LimitStep::Lower { claimed: Duration::ZERO };
        let down = std::iter::successors(Some(10), |n| rule.step(Some(*n), &lower)).take(6);
        assert_eq!(down.collect::<Vec<_>>(), [10, 7, 5, 3, 3, 3]);
        assert_eq!(rule.step(Some(9), &LimitStep::Raise), Some(10));
        assert_eq!(rule.step(None, &LimitStep::Raise), Some(10));
        assert_eq!(rule.adapted(Some(1)), Some(3));
        let fixed = Limit::concurrency(10).rule().expect("valid");
        assert_eq!((fixed.adapted(Some(3)), fixed.step(Some(3), &lower)), (Some(10), None));
    }

    #[test]
    fn limits_that_mean_nothing_are_refused() {
        let refused = [
            Limit::concurrency(0),
            Limit::default(),
            Limit::concurrency(1).burst(2),
            Limit::per("1/s").burst(0),
            Limit::per("often"),
            Limit::concurrency(1).breaker(0, Duration::from_secs(1)),
            Limit::concurrency(1).breaker(1, Duration::ZERO),
            Limit::concurrency(5).adaptive(0),
            Limit::concurrency(5).adaptive(5),
            Limit::per("1/s").adaptive(1),
        ];
        for limit in refused {
            assert!(limit.rule().is_err(), "{limit:?}");
        }
        let rule = Limit::concurrency(10).rate("100/s").burst(20).rule().expect("valid");
        assert_eq!((rule.concurrency, rule.rate.map(|r| (r.count, r.burst))), (Some(10), Some((100, 20))));
    }
}
